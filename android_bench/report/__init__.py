"""What a reader sees of stored campaigns; nothing here measures or writes to the store.

console.py, tables.py                    the console
json_document.py                         JSON
page.py, *.html.j2                       one self-contained HTML page
forest.py, block_timeline.py,
heat_timeline.py, distribution.py,
turn_curves.py                           its Plotly figures
figure_style.py, conditions.py           what those share; the device beneath a timeline
heats.py, paper.py                       what the page asks of heats; the paper's latencies
wording.py, escape.py                    numbers and sentences; names from outside
"""
