/**
 * Every bound of the engine, with its unit, and what happens beyond it. Nothing grows without one of these.
 */

/** Packets that one turn may hold, received and built together. Beyond it a turn sends what it has and goes on. */
export const PACKETS_MAX: number = 2048;

/** Ready descriptors that one turn collects; the others come with the next. */
export const TURN_EVENTS_MAX: number = 512;

/** The largest Ethernet frame: 14 bytes of header and a 65,535-byte IP packet (RFC 791: total length has 16 bits). */
export const FRAME_BYTES_MAX: number = 14 + 65_535;

/**
 * Bytes of the arena, which holds all packets of one turn. Beyond it a turn sends what it has and goes on. So few that payload is still in the
 * processor's cache when it goes on to a socket: with 8 MiB a stream at MTU 1500 is a quarter slower.
 */
export const ARENA_BYTES: number = 1024 * 1024;

/** Pieces of payload that a virtual machine lends to the packets of a turn. Beyond it frames are copied whole. With a piece of each packet in the arena they are one vector of sendmsg(2), 1024. */
export const LENT_PIECES_MAX: number = 768;

/** Bytes built for links before they are sent in the middle of a turn: they are still in the processor's cache then, and a link's queue has room for them. */
export const UNSENT_BYTES_MAX: number = 256 * 1024;

/** Open flows, all protocols together; `--max-flows`. Beyond it a new flow is refused (RST, ICMP) and counted. */
export const FLOWS_MAX_DEFAULT: number = 65_536;

/** What `--max-flows` may be: a million flows take about 200 MB of columns and 2 million descriptors. */
export const FLOWS_MAX_LOWEST: number = 16;
export const FLOWS_MAX_HIGHEST: number = 1_048_576;

/**
 * The MTU of an interface; another one is refused. The smallest is what any IPv4 host must be able to receive (RFC 791, section 3.1), the largest the 65,535 bytes of an IPv4 packet,
 * rounded down to 16.
 */
export const MTU_MIN: number = 576;
export const MTU_MAX: number = 65_520;

/** The smallest MTU that IPv6 allows (RFC 8200, section 5). */
export const MTU_IPV6_MIN: number = 1280;

/** The name of an interface of the kernel: IFNAMSIZ less the final zero (linux/if.h). A longer one is refused. */
export const INTERFACE_NAME_BYTES_MAX: number = 15;

/** The path of a socket: sun_path less the final zero (linux/un.h). A longer one is refused. */
export const SOCKET_PATH_BYTES_MAX: number = 107;

/** The number of a tap of `tapster up`, counted from 0. A larger one is refused. */
export const TAP_ID_MAX: number = 1024;

/** Queues of one tap (MAX_TAP_QUEUES in drivers/net/tun.c). More are refused. */
export const TAP_QUEUES_MAX: number = 256;

/** Groups of a bridge's members that do not talk to each other, numbered; 0 is none. Whoever needs more of these needs another thing than a number. */
export const SPLIT_HORIZON_GROUP_MAX: number = 255;

/** Bytes of one flow that wait for a host socket that takes no more: the largest window that we advertise to the guest. */
export const TCP_HELD_BYTES_MAX: number = 1024 * 1024;

/** Bytes that wait for host sockets, all flows together. Beyond it segments are not accepted, and the guest sends them again. */
export const TCP_HELD_BYTES_TOTAL_MAX: number = 256 * 1024 * 1024;

/** Bytes that one flow may carry from its host socket to the guest in one turn, so that others have theirs. */
export const TCP_PULL_BYTES_PER_TURN: number = 1024 * 1024;

/** Gaps that the guest may leave in one flow's sequence space and have remembered; a further one is sent again. */
export const TCP_GAPS_MAX: number = 16;

/** Callers that wait on a published port for us to accept them: listen(2)'s backlog. */
export const LISTEN_BACKLOG: number = 1024;

/** Callers of forwards that have been accepted and wait until it is known where their guest is; those beyond are reset. */
export const HELD_CALLERS_MAX: number = 128;

/** Datagrams under reassembly at one time; beyond it the oldest is given up and counted. */
export const REASSEMBLIES_MAX: number = 64;

/** Bytes of fragments held in all reassemblies together. */
export const REASSEMBLY_BYTES_MAX: number = 4 * 1024 * 1024;

/** A datagram that is not complete after this time is given up (RFC 791 recommends 15 s as the lower bound, Linux uses 30 s). */
export const REASSEMBLY_TIMEOUT_MS: number = 30_000;

/** Names learnt from DNS answers; beyond it the oldest is forgotten. */
export const NAMES_MAX: number = 16_384;

/** Guest addresses whose MAC address is known, on one interface; beyond it the one that spoke longest ago is forgotten. */
export const NEIGHBOURS_MAX: number = 1024;

/** Sockets of published and forwarded UDP ports: all ports of both families, if there are as many descriptors. Beyond it `publish` fails. */
export const DATAGRAM_LISTENERS_MAX: number = 131_072;

/** Datagrams taken from one host socket in one turn, so that others have theirs. */
export const DATAGRAMS_PER_TURN_MAX: number = 256;

/** Interfaces that an engine may ever have had; none gets the number of another. Beyond it creating one fails. */
export const INTERFACES_EVER_MAX: number = 65_536;

/** Adjacencies: connected networks, gateways and neighbours, all interfaces together. Beyond it a new one is refused. */
export const ADJACENCIES_MAX: number = 262_144;

/** Routes in one table, of one family. Beyond it a further one is refused. */
export const ROUTES_MAX: number = 131_072;

/** Groups of next hops that routes share their packets between (ECMP). Beyond it making one fails. */
export const NEXT_HOP_GROUPS_MAX: number = 4096;

/** Next hops in one such group; a group with more is refused. */
export const NEXT_HOPS_MAX: number = 32;

/** The weight of a next hop beside those of the others. A larger one is refused. */
export const NEXT_HOP_WEIGHT_MAX: number = 255;

/** Packets whose way is recorded, or asked to be; beyond it `trace add` fails until `clear trace`. With the two limits below: 8 MiB of text at most. */
export const TRACE_PACKETS_MAX: number = 1024;

/** Nodes recorded for one traced packet; further visits are only counted. */
export const TRACE_HOPS_MAX: number = 32;

/** Bytes of text recorded for one visit of a traced packet; what is longer is cut. */
export const TRACE_TEXT_BYTES_MAX: number = 256;

/** Addresses of our own on one interface; beyond it adding one fails. */
export const INTERFACE_ADDRESSES_MAX: number = 64;

/** Addresses of our own on all interfaces together; beyond it adding one fails. */
export const INTERFACE_ADDRESSES_TOTAL_MAX: number = 16_384;

/** Neighbours of one interface in the neighbour table; beyond it the oldest of those that are least in use is forgotten. */
export const INTERFACE_NEIGHBOURS_MAX: number = 4096;

/** Neighbours of all interfaces together; beyond it an interface that has more than its share forgets one of its own. */
export const INTERFACE_NEIGHBOURS_TOTAL_MAX: number = 65_536;

/** Packets that wait for one neighbour's answer; beyond it the oldest of them is dropped and counted. */
export const NEIGHBOUR_PACKETS_MAX: number = 16;

/** Bytes of all packets that wait for neighbours' answers; beyond it the oldest of all is dropped and counted. */
export const NEIGHBOUR_PACKET_BYTES_MAX: number = 4 * 1024 * 1024;

/** Bridges at one time; beyond it creating one fails. */
export const BRIDGES_MAX: number = 1024;

/** MAC addresses that bridges know, learnt and static, all bridges together. Beyond it no new one is learnt: frames for it are flooded, and it is counted. */
export const L2_FIB_ENTRIES_MAX: number = 65_536;

/** Segments that one frame is cut into where a link can't do it; beyond it the frame is dropped and counted. Linux's smallest MSS (48) takes 1,366 for 64 KiB. */
export const SEGMENTS_PER_FRAME_MAX: number = 2048;

/** Bytes of the arena that segments are made in. Beyond it those that there are are sent first. They should be in the processor's cache still. */
export const SEGMENT_ARENA_BYTES: number = 256 * 1024;

/** Frames in one batch of a tap that a program has opened; more come with the next one. */
export const TAP_BATCH_FRAMES_MAX: number = 256;

/** Bytes of one batch of such a tap, headers counted. Frames that find no room come with the next one. */
export const TAP_BATCH_BYTES: number = 1024 * 1024;

/** Bytes of frames that a program gives to its tap in one go. Beyond it those that there are are written first. They should be in the processor's cache still. */
export const TAP_SEND_BYTES: number = 256 * 1024;

/** VLAN sub-interfaces, of all interfaces together. Beyond it creating one fails. */
export const VLANS_MAX: number = 16_384;

/** Bytes of the arena in which frames get their VLAN tags. Beyond it those that there are are sent first. */
export const TAG_ARENA_BYTES: number = 256 * 1024;

/** Streams of one vector whose segments are being joined in front of a tap; beyond it the one that was begun first gets no more. */
export const JOINS_OPEN_MAX: number = 8;

/** Bytes of the arena in which segments are joined. Beyond it those frames that there are are sent first. They should be in the processor's cache still. */
export const JOIN_ARENA_BYTES: number = 256 * 1024;

/** Answers that a TUN link owes to those who ask for a MAC address behind it. Beyond it a question is dropped and counted; it is asked again. */
export const TUN_ANSWERS_MAX: number = 64;

/** Events that a running network keeps for who asks later; beyond it the oldest is forgotten. */
export const EVENTS_KEPT_MAX: number = 2048;

/** Characters of a filter for captures and traces; beyond it the filter is refused. */
export const FILTER_TEXT_MAX: number = 4096;

/** DHCP leases and offers of one interface, those that ran out and are remembered included. Beyond it the oldest of these is forgotten, or nothing is offered. */
export const DHCP_LEASES_MAX: number = 4096;

/** Captures that run at one time; beyond it starting one fails. */
export const CAPTURES_MAX: number = 8;

/** Bytes of data in an echo request that we send: with its headers the largest IPv4 packet. A larger one is refused. */
export const PING_BYTES_MAX: number = 65_507;

/** Echo requests of one ping. More are refused. */
export const PINGS_MAX: number = 1000;

/** Captures that have ended and are listed still; beyond it the oldest is forgotten. */
export const CAPTURES_ENDED_MAX: number = 16;

/** Bytes of one capture that a slow disk did not take yet; beyond it packets are left out and counted. */
export const CAPTURE_QUEUED_BYTES_MAX: number = 16 * 1024 * 1024;

/** Connections to the API, on its socket and on its port each; further ones are closed at once. */
export const API_CONNECTIONS_MAX: number = 128;

/** Listeners to events by the API, on socket and port together; a further one is refused. */
export const API_LISTENERS_MAX: number = 32;

/** Events that wait for the end of a turn to be told by the API; beyond it they are left out and counted. */
export const API_EVENTS_MAX: number = 4096;

/** Bytes of events that wait for one listener to take them; beyond it events are left out for it and counted. */
export const API_EVENT_BYTES_MAX: number = 256 * 1024;

/** Bytes of a request's body that is about one thing; beyond it the request is refused (413), as with the next two. */
export const API_BODY_BYTES_MAX: number = 256 * 1024;

/** Bytes of a configuration as JSON: a hundred thousand routes have some 5 MB. */
export const API_CONFIG_BYTES_MAX: number = 8 * 1024 * 1024;

/** Bytes of a configuration as YAML, which takes hundreds of times longer to read, with many brackets more than in proportion. */
export const API_YAML_BYTES_MAX: number = 256 * 1024;

/** Entries of a list of the API: routes, flows, events. A larger `limit` is refused. */
export const API_LIST_MAX: number = 10_000;

/** Bytes of frames that the kernel has yet to read from one vhost-net queue; beyond it further frames are refused and counted. */
export const VHOST_TRANSMIT_BYTES: number = 2 * 1024 * 1024;

/** Threads that serve queues, the main one counted: `placement`. A configuration that asks for one beyond is refused. */
export const WORKERS_MAX: number = 16;

/** Bytes of frames that one worker has handed over to the main thread, and that wait there; a power of 2. Beyond it frames are dropped and counted. */
export const WORKER_RING_BYTES: number = 1024 * 1024;

/**
 * How long a worker may take to start, or to let go of an interface; one that takes longer is ended, and the main thread serves its queues. It needs milliseconds, and seconds
 * where many others have the processors: it is ended for what hangs, not for that.
 */
export const WORKER_REPLY_MS: number = 30_000;

/**
 * Bytes that wait on either side of a stream socket to a guest, both directions together. Flows wait as soon as any do: what they built before that has room, twice `UNSENT_BYTES_MAX` and a
 * frame, cut into segments. Beyond it other frames are refused and counted.
 */
export const STREAM_MEMORY_BYTES: number = 1536 * 1024;

/** Interfaces of one engine that virtual machines are plugged into by a stream socket or by datagrams: memory is kept for each. One more is refused. */
export const STREAM_INTERFACES_MAX: number = 32;

/** Regions of one virtual machine's memory; beyond it the front end's message fails. QEMU asks how many there may be. */
export const MEMORY_REGIONS_MAX: number = 64;

/** Pairs of queues of one vhost-user connection; more can't be asked for. */
export const VHOST_USER_PAIRS_MAX: number = 8;

/** Entries of a vhost-user queue; a larger one is refused. QEMU and DPDK have no larger ones. */
export const VHOST_USER_QUEUE_SIZE_MAX: number = 4096;

/** Descriptors of one chain, those of an indirect table included; beyond it the queue is broken. Linux uses 19 for a frame. */
export const CHAIN_DESCRIPTORS_MAX: number = 1024;

/** Descriptors that are read to find room for one frame to a virtual machine; beyond it the queue is broken: it would have us look for room all the time. More than any chain has. */
export const FRAME_DESCRIPTORS_MAX: number = 2 * CHAIN_DESCRIPTORS_MAX;

/** Bytes of one virtual machine's memory: beyond it the front end's message fails. Each gigabyte is a registered memory. */
export const GUEST_MEMORY_BYTES_MAX: number = 1024 * 1024 * 1024 * 1024;

/**
 * Windows, of a gigabyte, of all memory that virtual machines share with us: beyond it the front end's message fails. Links and sockets have their registered memories beside
 * them, of which there are 4096.
 */
export const GUEST_WINDOWS_MAX: number = 3072;

/** Bytes of the bitmap of a virtual machine's written pages; a larger one is refused. Enough for guest addresses below 8 TiB. */
export const DIRTY_LOG_BYTES_MAX: number = 256 * 1024 * 1024;

/** Bytes of frames that wait for a virtual machine to offer buffers, by queue; beyond it they are lost and counted. */
export const VHOST_USER_QUEUED_BYTES: number = 2 * 1024 * 1024;

/** Messages of one vhost-user connection that are handled in one turn; the others wait for the next. */
export const MESSAGES_PER_TURN_MAX: number = 64;

/** Ranges of ports that one kind of forward of a drop-in (`-t`, `-u`, `-T`, `-U`) consists of: every second port. Beyond it the option is refused. */
export const FORWARD_RULES_MAX: number = 32_768;

/** Addresses and interfaces at which one kind of forward binds ports, 8 KiB each while options are read. Beyond it the option is refused. */
export const FORWARD_BINDINGS_MAX: number = 256;

/** Bytes of a request to the drop-in's API socket of slirp4netns, which has this bound too. A larger one is refused. */
export const SLIRP_REQUEST_BYTES_MAX: number = 4095;

/** Connections to that socket at one time. Beyond it a new one is closed at once. */
export const SLIRP_CLIENTS_MAX: number = 64;

/** Connections to the socket of a drop-in's `--conf-path` at one time. Beyond it a new one is closed at once. */
export const SESSION_CLIENTS_MAX: number = 32;

/** Name servers, and as many search domains, that options of a drop-in hand out. Beyond it the option is refused. */
export const DROPIN_NAMES_MAX: number = 64;

/** Connections between the loopback interfaces of host and namespace, both directions together. Beyond it callers wait to be accepted. */
export const SPLICE_CONNECTIONS_MAX: number = 8192;

/** Pipes by which bytes of such connections move, and bytes of each: a user has 64 MiB in all without further ado. Beyond it bytes are copied. */
export const SPLICE_PIPES_MAX: number = 32;
export const SPLICE_PIPE_BYTES: number = 512 * 1024;

/** Bytes that one direction of such a connection moves in one turn, so that others have theirs. */
export const SPLICE_TURN_BYTES: number = 4 * 1024 * 1024;

/** Senders of datagrams between the two, one for each address and port. Beyond it the one that has been silent for longest is forgotten. */
export const SPLICE_SENDERS_MAX: number = 4096;

/** Descriptors that forwards of ports leave free, for those who call there and all else. A range of ports that would take them is refused. */
export const DESCRIPTORS_RESERVED: number = 512;

/** Ports that `auto` opens in one scan; the others come with the next, a second later. */
export const AUTO_PORTS_PER_SCAN_MAX: number = 512;
