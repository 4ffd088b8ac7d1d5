/*
 * A process of ours that lives in a network namespace, ours or another, and makes sockets there when it is asked: up to
 * SOCKETS_MAX of one kind by one request, bound to ports that follow each other, and listening; or sockets that ask
 * the kernel which ports are bound there (NETLINK_SOCK_DIAG). See small-process.c.
 *
 * A socket belongs to the namespace in which it was made, for good; connecting, accepting and all else works from
 * anywhere. The engine can't make one elsewhere: it never leaves its own namespace, and confined it can neither listen nor bind to a
 * low port. The process keeps the capability for these (CAP_NET_BIND_SERVICE, in the user namespace that it is in then).
 *
 * One request is under way at a time. A request and its answer have the same number, so that an answer that came too
 * late is not taken for the next one's.
 */
#include "addon.h"
#include "namespace.h"
#include "small-process.h"
#include "socket.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/netlink.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* SCM_MAX_FD of the kernel is 253. */
#define SOCKETS_MAX 253
#define DEVICE_WORDS 4 /* IFNAMSIZ bytes */
/* The process is a copy of ours: making it takes a moment; answering does not. */
#define START_TIMEOUT_MS 5000
#define ANSWER_TIMEOUT_MS 2000

enum socket_request_flags {
  REQUEST_BIND = 1,
  REQUEST_REUSE = 2,
  REQUEST_FREEBIND = 4,
  REQUEST_DUAL = 8, /* sockets of IPv6 that are of IPv4 too */
  REQUEST_FLAGS = 15
};

struct request {
  int32_t number;
  int32_t family;
  int32_t type;
  int32_t protocol;
  int32_t count;
  int32_t flags;
  int32_t backlog;                /* -1: the sockets do not listen */
  int32_t address[ADDRESS_WORDS]; /* of the first; each other one has the port behind the one before */
  char device[DEVICE_WORDS * 4];  /* empty: of no interface */
};
#define REQUEST_WORDS (6 + ADDRESS_WORDS + DEVICE_WORDS) /* without the number */

struct answer {
  int32_t number; /* 0: what the process says first */
  int32_t count;
  int32_t errors[SOCKETS_MAX]; /* errno; 0: the next descriptor that came along */
};

union control {
  struct cmsghdr header;
  char bytes[CMSG_SPACE(sizeof(int) * SOCKETS_MAX)];
};

struct start {
  int32_t namespace_fd; /* -1: ours */
  int32_t error;
};

/* --- the process --- */

static void enter(void *context) {
  struct start *start = context;
  if (start->namespace_fd >= 0) start->error = namespace_enter(start->namespace_fd);
}

static bool send_answer(const struct answer *answer, const int *descriptors, size_t count) {
  union control control;
  struct iovec part = {.iov_base = (void *)(uintptr_t)answer, .iov_len = sizeof *answer};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (count > 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int) * count);
    memcpy(CMSG_DATA(header), descriptors, sizeof(int) * count);
  }
  ssize_t sent;
  do sent = sendmsg(SMALL_PROCESS_CONTROL, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent >= 0;
}

static int set(int fd, int level, int name) {
  const int on = 1;
  return setsockopt(fd, level, name, &on, sizeof on);
}

static int prepare_socket(int fd, const struct request *request, int32_t index) {
  const bool inet6 = request->family == AF_INET6;
  const int v6only = (request->flags & REQUEST_DUAL) == 0;
  if (inet6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof v6only) < 0) return -1;
  if ((request->flags & REQUEST_REUSE) != 0 && set(fd, SOL_SOCKET, SO_REUSEADDR) < 0) return -1;
  if ((request->flags & REQUEST_FREEBIND) != 0 &&
      set(fd, inet6 ? IPPROTO_IPV6 : IPPROTO_IP, inet6 ? IPV6_FREEBIND : IP_FREEBIND) < 0)
    return -1;
  const size_t device = strnlen(request->device, sizeof request->device);
  if (device > 0 && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, request->device, (socklen_t)device) < 0) return -1;
  if ((request->flags & REQUEST_BIND) != 0) {
    union socket_address address;
    int32_t words[ADDRESS_WORDS];
    memcpy(words, request->address, sizeof words);
    words[4] += index;
    const socklen_t length = address_from_words(words, &address);
    if (bind(fd, &address.any, length) < 0) return -1;
  }
  return request->backlog >= 0 ? listen(fd, request->backlog) : 0;
}

/* A descriptor, or -errno. */
static int make_socket(const struct request *request, int32_t index) {
  const int fd = socket(request->family, request->type | SOCK_NONBLOCK | SOCK_CLOEXEC, request->protocol);
  if (fd < 0) return -errno;
  if (prepare_socket(fd, request, index) == 0) return fd;
  const int error = errno;
  close(fd);
  return -error;
}

static bool is_sound(const struct request *request) {
  if (request->count <= 0 || request->count > SOCKETS_MAX) return false;
  if (request->family == AF_NETLINK)
    return request->type == SOCK_RAW && request->protocol == NETLINK_SOCK_DIAG && request->flags == 0 &&
           request->backlog < 0;
  return (request->family == AF_INET || request->family == AF_INET6) &&
         (request->type == SOCK_STREAM || request->type == SOCK_DGRAM) && (request->flags & ~REQUEST_FLAGS) == 0;
}

static void serve(void *context) {
  const struct start *start = context;
  prctl(PR_SET_NAME, "tapster-sock");
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  struct answer answer = {.number = 0, .count = 1, .errors = {start->error}};
  if (!send_answer(&answer, NULL, 0) || start->error != 0) _exit(1);
  for (;;) {
    struct request request;
    const ssize_t received = recv(SMALL_PROCESS_CONTROL, &request, sizeof request, 0);
    if (received < 0 && errno == EINTR) continue;
    if (received <= 0) _exit(0);
    if (received != (ssize_t)sizeof request || !is_sound(&request)) _exit(1);
    int descriptors[SOCKETS_MAX];
    size_t count = 0;
    memset(&answer, 0, sizeof answer);
    answer.number = request.number;
    answer.count = request.count;
    for (int32_t i = 0; i < request.count; i++) {
      const int fd = make_socket(&request, i);
      if (fd < 0) answer.errors[i] = -fd;
      else descriptors[count++] = fd;
    }
    const bool sent = send_answer(&answer, descriptors, count);
    for (size_t i = 0; i < count; i++) close(descriptors[i]);
    if (!sent) _exit(1);
  }
}

/* --- our side --- */

/* Waits for the answer with this number: 0, with as many descriptors as it has, or -errno. */
static int receive_answer(int control_fd, int32_t number, int timeout_ms, struct answer *answer, int *descriptors,
                          size_t *count) {
  for (;;) {
    struct pollfd ready = {.fd = control_fd, .events = POLLIN};
    int polled;
    do polled = poll(&ready, 1, timeout_ms);
    while (polled < 0 && errno == EINTR);
    if (polled <= 0) return polled == 0 ? -ETIMEDOUT : -errno;
    union control control;
    struct iovec part = {.iov_base = answer, .iov_len = sizeof *answer};
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    const ssize_t received = recvmsg(control_fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (received < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (received < 0) return -errno;
    *count = 0;
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
      *count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
      memcpy(descriptors, CMSG_DATA(header), *count * sizeof(int));
    }
    if (received == (ssize_t)sizeof *answer && answer->number == number) return 0;
    for (size_t i = 0; i < *count; i++) close(descriptors[i]);
    if (received != (ssize_t)sizeof *answer) return -EPIPE;
  }
}

static int end_process(int control_fd, pid_t pid) {
  close(control_fd);
  int result;
  do result = waitpid(pid, NULL, 0);
  while (result < 0 && errno == EINTR);
  return result < 0 ? -errno : 0;
}

/*
 * socketServerStart(namespaceFd, result: Int32Array): starts the process in a network namespace, -1: in ours. 0 or -errno.
 *
 * | result | the descriptor that it is asked by, its number |
 */
static napi_value socket_server_start(napi_env env, napi_callback_info info) {
  napi_value values[2];
  struct start start = {0};
  if (!addon_arguments(env, info, 2, values, NULL) || !addon_integers(env, values, 1, &start.namespace_fd)) return NULL;
  int32_t *result = addon_words(env, values[1], 2, NULL);
  if (result == NULL) return NULL;
  pid_t pid = 0;
  const int control = small_process_start(enter, serve, &start, -1, CAP_NET_BIND_SERVICE, &pid);
  if (control < 0) return addon_number(env, control);
  struct answer answer;
  int descriptors[SOCKETS_MAX];
  size_t count;
  int error = receive_answer(control, 0, START_TIMEOUT_MS, &answer, descriptors, &count);
  if (error == 0) error = -answer.errors[0];
  if (error != 0) {
    /* It has ended, or hangs, and then waiting for it would be to hang with it. */
    if (error == -ETIMEDOUT) kill(pid, SIGKILL);
    end_process(control, pid);
    return addon_number(env, error);
  }
  result[0] = control;
  result[1] = pid;
  return addon_number(env, 0);
}

/*
 * socketServerMake(control, number, request: Int32Array, result: Int32Array): makes sockets. 0 or -errno, where none was made. `number` is
 * another one each time, and not 0. `request` is struct request without it.
 *
 * | result | for each socket: its descriptor, or -errno |
 */
static napi_value socket_server_make(napi_env env, napi_callback_info info) {
  napi_value values[4];
  int32_t a[2];
  if (!addon_arguments(env, info, 4, values, NULL) || !addon_integers(env, values, 2, a)) return NULL;
  const int32_t *words = addon_words(env, values[2], REQUEST_WORDS, NULL);
  if (words == NULL) return NULL;
  struct request request = {.number = a[1]};
  _Static_assert(sizeof request == (REQUEST_WORDS + 1) * sizeof *words, "a request is words, one behind the other");
  memcpy((char *)&request + sizeof request.number, words, REQUEST_WORDS * sizeof *words);
  if (!is_sound(&request)) return addon_range_error(env, "no such sockets can be asked for");
  int32_t *result = addon_words(env, values[3], (size_t)request.count, NULL);
  if (result == NULL) return NULL;
  if (send(a[0], &request, sizeof request, MSG_NOSIGNAL) < 0) return addon_result(env, -1);
  struct answer answer;
  int descriptors[SOCKETS_MAX];
  size_t count = 0;
  const int error = receive_answer(a[0], request.number, ANSWER_TIMEOUT_MS, &answer, descriptors, &count);
  if (error != 0) return addon_number(env, error);
  size_t next = 0;
  for (int32_t i = 0; i < request.count; i++) {
    if (answer.errors[i] != 0) result[i] = -answer.errors[i];
    /* The kernel leaves out what we have no numbers for. */
    else result[i] = next < count ? descriptors[next++] : -EMFILE;
  }
  return addon_number(env, 0);
}

/* socketServerEnd(control, pid): ends the process and waits until it is gone. 0 or -errno. */
static napi_value socket_server_end(napi_env env, napi_callback_info info) {
  int32_t a[2];
  if (!addon_integer_arguments(env, info, 2, a, NULL)) return NULL;
  return addon_number(env, end_process(a[0], a[1]));
}

void socket_server_register(napi_env env, napi_value exports) {
  addon_function(env, exports, "socketServerStart", socket_server_start);
  addon_function(env, exports, "socketServerMake", socket_server_make);
  addon_function(env, exports, "socketServerEnd", socket_server_end);
}
