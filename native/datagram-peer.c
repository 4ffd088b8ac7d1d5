/*
 * A process of ours that keeps a datagram socket of the UNIX domain (unix(7)) connected to the one at a path, whoever
 * has bound it there: the engine can't go to paths any more when it is confined, and the other side comes and goes.
 * See small-process.c.
 *
 * A connected socket is told when the other side takes more (EPOLLOUT), takes datagrams from nobody else, and has as
 * many of the other side's wait as that side's buffer holds, rather than the ten of net.unix.max_dgram_qlen. But it is
 * connected to a socket, not to a path: somebody new at the path is refused (EPERM) until we have connected to him, and
 * that the one before has gone is seen only when something is sent. So the process connects again from time to time; to
 * the same socket, that changes nothing.
 *
 * It connects to this one path, whatever it is asked: what the engine says is one byte, for "look now".
 */
#include "addon.h"
#include "small-process.h"
#include "socket.h"

#include <errno.h>
#include <linux/capability.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* How long somebody new at the path is refused at most. */
#define LOOK_INTERVAL_MS 500
/* It connects, and removes one file. */
#define END_TIMEOUT_MS 1000

/* struct told of src/sys/datagram-peer.ts. */
struct told {
  int32_t error;  /* 0: the socket is connected */
  int32_t number; /* of those that it was connected to, counted from 1 */
};

/* What tells one socket at a path from one that takes its place: a number is given again when nobody has it any more. */
struct identity {
  dev_t device;
  ino_t inode;
};

/* Connects to whoever is there now: 0, or an errno; then to nobody, and datagrams of everybody are taken. */
static int32_t connect_peer(const struct sockaddr_un *address) {
  if (connect(SMALL_PROCESS_KEPT, (const struct sockaddr *)address, sizeof *address) == 0) return 0;
  const int32_t error = errno;
  const struct sockaddr nobody = {.sa_family = AF_UNSPEC};
  connect(SMALL_PROCESS_KEPT, &nobody, sizeof nobody);
  return error;
}

static struct identity identity_of(const char *path) {
  struct stat found;
  if (lstat(path, &found) < 0) return (struct identity){0};
  return (struct identity){.device = found.st_dev, .inode = found.st_ino};
}

/* Nobody is to find the path of somebody who is gone: QEMU leaves it behind. */
static void remove_stale(const struct sockaddr_un *address) {
  struct stat found;
  if (connect_peer(address) != ECONNREFUSED) return;
  if (lstat(address->sun_path, &found) == 0 && S_ISSOCK(found.st_mode)) unlink(address->sun_path);
}

static void serve(void *context) {
  const struct sockaddr_un *address = context;
  prctl(PR_SET_NAME, "tapster-peer");
  struct told told = {.error = -1};
  struct identity last = {0};
  bool asked = false;
  for (;;) {
    /* Somebody who comes between the two counts as two, which is better than not at all. */
    const struct identity now = identity_of(address->sun_path);
    const struct told new = {.error = connect_peer(address), .number = told.number};
    const bool is_other = new.error == 0 && (now.device != last.device || now.inode != last.inode);
    if (asked || is_other || new.error != told.error) {
      told = new;
      if (is_other) {
        told.number++;
        last = now;
      }
      if (send(SMALL_PROCESS_CONTROL, &told, sizeof told, MSG_NOSIGNAL) < 0) break;
    }
    struct pollfd question = {.fd = SMALL_PROCESS_CONTROL, .events = POLLIN};
    asked = poll(&question, 1, LOOK_INTERVAL_MS) > 0;
    char byte;
    if (asked && recv(SMALL_PROCESS_CONTROL, &byte, sizeof byte, 0) <= 0) break;
  }
  remove_stale(address);
  _exit(0);
}

/*
 * datagramPeer(socket, path, pid: Int32Array): starts the process. The descriptor by which it tells how it stands, or
 * -errno; pid[0] is its number.
 */
static napi_value datagram_peer(napi_env env, napi_callback_info info) {
  napi_value values[3];
  struct addon *addon;
  struct sockaddr_un address;
  int32_t fd;
  if (!addon_arguments(env, info, 3, values, &addon) || !addon_integers(env, values, 1, &fd)) return NULL;
  int32_t *pid = addon_words(env, values[2], 1, NULL);
  if (pid == NULL) return NULL;
  const int invalid = address_from_path(env, values[1], &address);
  if (invalid != 0) return invalid < 0 ? addon_number(env, invalid) : NULL;
  return addon_number(env, small_process_start(NULL, serve, &address, fd, CAP_DAC_OVERRIDE, pid));
}

/*
 * datagramPeerRead(fd, told: Int32Array): what it tells next, as struct told: 1, 0: nothing, or -errno; -EPIPE: it has
 * ended.
 */
static napi_value datagram_peer_read(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t fd;
  if (!addon_arguments(env, info, 2, values, NULL) || !addon_integers(env, values, 1, &fd)) return NULL;
  struct told told;
  int32_t *words = addon_words(env, values[1], sizeof told / sizeof(int32_t), NULL);
  if (words == NULL) return NULL;
  ssize_t received;
  do received = recv(fd, &told, sizeof told, MSG_DONTWAIT);
  while (received < 0 && errno == EINTR);
  if (received < 0 && errno == EAGAIN) return addon_number(env, 0);
  if (received != sizeof told) return received < 0 ? addon_result(env, -1) : addon_number(env, -EPIPE);
  memcpy(words, &told, sizeof told);
  return addon_number(env, 1);
}

/* datagramPeerLook(fd): has it look now, and tell in any case. 0, or -errno. */
static napi_value datagram_peer_look(napi_env env, napi_callback_info info) {
  int32_t fd;
  const char byte = 0;
  if (!addon_integer_arguments(env, info, 1, &fd, NULL)) return NULL;
  return addon_result(env, send(fd, &byte, sizeof byte, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -1 : 0);
}

/* datagramPeerEnd(fd, pid): ends the process, and waits for that: 0, or -errno. Closes the descriptor. */
static napi_value datagram_peer_end(napi_env env, napi_callback_info info) {
  int32_t a[2];
  if (!addon_integer_arguments(env, info, 2, a, NULL)) return NULL;
  return addon_number(env, small_process_end(a[0], a[1], END_TIMEOUT_MS));
}

void datagram_peer_register(napi_env env, napi_value exports) {
  addon_function(env, exports, "datagramPeer", datagram_peer);
  addon_function(env, exports, "datagramPeerRead", datagram_peer_read);
  addon_function(env, exports, "datagramPeerLook", datagram_peer_look);
  addon_function(env, exports, "datagramPeerEnd", datagram_peer_end);
}
