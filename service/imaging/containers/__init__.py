"""One module or package for each container, which reads its bytes before a picture is decoded.

These modules do not import Pillow: a store reads the header of every original. A further format is one module with a
`Container`, and a row in `table`.
"""
