"""What each layer of a network loses in 8 bits: alone, inside the whole, and in each file.

`alone` quantises one layer and leaves the others in float; `inside` follows the float network and
the integer reference side by side through the whole quantised one; `handed_out` makes a network
that returns its inner values too, so that the files themselves can be compared layer by layer.
"""
