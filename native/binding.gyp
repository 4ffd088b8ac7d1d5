{
  "targets": [
    {
      "target_name": "tapster",
      "sources": [
        "addon.c",
        "memory.c",
        "tap.c",
        "vhost.c",
        "socket.c",
        "stream.c",
        "splice.c",
        "socket-server.c",
        "unix-socket.c",
        "guest-memory.c",
        "datagram.c",
        "poll.c",
        "signal.c",
        "namespace.c",
        "namespace-child.c",
        "namespace-open.c",
        "netlink.c",
        "sandbox.c",
        "small-process.c",
        "raw-socket.c",
        "path-remover.c",
        "datagram-peer.c",
        "limit.c"
      ],
      "defines": ["NAPI_VERSION=8", "_GNU_SOURCE"],
      "cflags!": ["-O3", "-fno-omit-frame-pointer"],
      "cflags": ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-fvisibility=hidden"]
    }
  ]
}
