"""What the catalog names: thin Kedro adapters over the plain stores, sources and models beneath.

Constructors keep their arguments and do nothing: no file is opened and no connection made before `load` or `save`.
"""
