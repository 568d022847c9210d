"""Moving in from Alyx: its database dump becomes animals, sessions and what belongs to them, every record told of.

Alyx: https://github.com/cortex-lab/alyx; the dump is Django's ``dumpdata`` as JSON, plain or gzipped.
"""
