"""Films as RTSP streams, by GStreamer's server: rtsp_server.py PORT FILE… → rtsp://127.0.0.1:PORT/0, /1 …

Run by the system's own Python, which has its bindings. Says `ready PORT` once it listens.
"""

import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402

Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_address("127.0.0.1")
server.set_service(sys.argv[1])
for number, path in enumerate(sys.argv[2:]):
    factory = GstRtspServer.RTSPMediaFactory()
    parse = "qtdemux ! h264parse config-interval=-1"
    factory.set_launch(f"( filesrc location={path} ! {parse} ! rtph264pay name=pay0 pt=96 config-interval=-1 )")
    factory.set_shared(True)
    server.get_mount_points().add_factory(f"/{number}", factory)
server.attach(None)
print("ready", server.get_bound_port(), flush=True)
GLib.MainLoop().run()
