"""Views in neuroglancer: layers of images, meshes and tables, served to a browser here.

::

    images, meshes, tables  ->  sources.py, meshes.py, annotations.py    what the client reads
                            ->  layers.py, view_state.py                 how it is displayed
    server.py               ->  the client, and the sources by token     127.0.0.1 only
    screenshot.py           ->  a PNG file, by Chromium without a window

Only `server` imports neuroglancer, the extra ``[view]``.
"""
