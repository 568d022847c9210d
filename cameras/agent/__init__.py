"""The camera agent: runs on a behaviour box, takes pictures, and keeps what is recorded until the server has stored it.

It needs OpenCV, NumPy and websockets, and no Django.
"""

VERSION = "1"
