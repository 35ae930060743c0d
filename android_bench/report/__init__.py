"""What a reader sees of stored campaigns; nothing here measures or writes to the store.

tables.py   the console            page.py, page.html.j2     one self-contained HTML page
wording.py  numbers and sentences  forest.py, timeline.py,
escape.py   names from outside     distribution.py           its Plotly figures
paper.py    the paper's latencies  figure_style.py           what those share
"""
