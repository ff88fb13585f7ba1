"""Views in neuroglancer: layers of images, meshes and tables, served to a browser here.

::

    paths      ->  collect.py                               images, meshes, tables
               ->  client_formats.py, virtual_image.py      what the client reads, or is read here
                   meshes.py, annotations.py
               ->  layers.py, table_layers.py               how it is displayed
                   view_state.py
    server.py               ->  the client, and the sources by token     127.0.0.1 only
    screenshot.py           ->  a PNG file, by Chromium without a window

Only `server` imports neuroglancer, the extra ``[view]``.
"""
