"""The camera agent: runs on a behaviour box, takes pictures and sends them to ingest; frames of a recording are kept until they are stored.

It needs OpenCV, NumPy and websockets, and no Django.
"""

VERSION = "1"
