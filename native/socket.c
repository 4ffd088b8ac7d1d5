/*
 * Sockets: making, naming, connecting and configuring them; one function per system call. Bytes are moved by stream.c
 * and datagram.c. Every socket is non-blocking and close-on-exec from its first moment.
 *
 * Options are ints, but for two that the kernel wants as a struct: SO_LINGER and the ICMP filter of raw sockets.
 */
#include "addon.h"
#include "socket.h"

#include <errno.h>
#include <linux/icmp.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include <string.h>
#include <unistd.h>

#define TCP_INFO_WORDS 8

bool address_is_inet(const int32_t *words) {
  return words[0] == 0 && words[1] == 0 && words[2] == 0xffff;
}

socklen_t address_from_words(const int32_t *words, union socket_address *address) {
  memset(address, 0, sizeof *address);
  if (address_is_inet(words)) {
    address->inet.sin_family = AF_INET;
    address->inet.sin_port = htons((uint16_t)words[4]);
    address->inet.sin_addr.s_addr = htonl((uint32_t)words[3]);
    return sizeof address->inet;
  }
  address->inet6.sin6_family = AF_INET6;
  address->inet6.sin6_port = htons((uint16_t)words[4]);
  address->inet6.sin6_scope_id = (uint32_t)words[5];
  for (int i = 0; i < 4; i++) {
    const uint32_t word = htonl((uint32_t)words[i]);
    memcpy(&address->inet6.sin6_addr.s6_addr[4 * i], &word, sizeof word);
  }
  return sizeof address->inet6;
}

void address_to_words(const struct sockaddr *address, int32_t *words) {
  memset(words, 0, ADDRESS_WORDS * sizeof *words);
  if (address->sa_family == AF_INET) {
    struct sockaddr_in inet;
    memcpy(&inet, address, sizeof inet);
    words[2] = 0xffff;
    words[3] = (int32_t)ntohl(inet.sin_addr.s_addr);
    words[4] = ntohs(inet.sin_port);
  } else if (address->sa_family == AF_INET6) {
    struct sockaddr_in6 inet6;
    memcpy(&inet6, address, sizeof inet6);
    for (int i = 0; i < 4; i++) {
      uint32_t word;
      memcpy(&word, &inet6.sin6_addr.s6_addr[4 * i], sizeof word);
      words[i] = (int32_t)ntohl(word);
    }
    words[4] = ntohs(inet6.sin6_port);
    words[5] = (int32_t)inet6.sin6_scope_id;
  }
}

/* socket(family, type, protocol) */
static napi_value socket_open(napi_env env, napi_callback_info info) {
  int32_t a[3];
  if (!addon_integer_arguments(env, info, 3, a, NULL)) return NULL;
  int fd = socket(a[0], a[1] | SOCK_NONBLOCK | SOCK_CLOEXEC, a[2]);
  /* A raw socket carries no IPv4 in its IPv6, and has the option refused. */
  if (fd >= 0 && a[0] == AF_INET6 && a[1] != SOCK_RAW) {
    const int on = 1;
    if (setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on) < 0) {
      napi_value result = addon_result(env, -1);
      close(fd);
      return result;
    }
  }
  return addon_result(env, fd);
}

/* Reads (fd, address: Int32Array) and builds the sockaddr; false: an exception is pending. */
static bool socket_address_arguments(napi_env env, napi_callback_info info, int32_t *fd, union socket_address *address,
                                     socklen_t *length) {
  napi_value values[2];
  if (!addon_arguments(env, info, 2, values, NULL) || !addon_integers(env, values, 1, fd)) return false;
  const int32_t *words = addon_words(env, values[1], ADDRESS_WORDS, NULL);
  if (words == NULL) return false;
  *length = address_from_words(words, address);
  return true;
}

static napi_value socket_bind(napi_env env, napi_callback_info info) {
  int32_t fd;
  union socket_address address;
  socklen_t length;
  if (!socket_address_arguments(env, info, &fd, &address, &length)) return NULL;
  return addon_result(env, bind(fd, &address.any, length));
}

static napi_value socket_connect(napi_env env, napi_callback_info info) {
  int32_t fd;
  union socket_address address;
  socklen_t length;
  if (!socket_address_arguments(env, info, &fd, &address, &length)) return NULL;
  return addon_result(env, connect(fd, &address.any, length));
}

/* listen(fd, backlog) */
static napi_value socket_listen(napi_env env, napi_callback_info info) {
  int32_t a[2];
  if (!addon_integer_arguments(env, info, 2, a, NULL)) return NULL;
  return addon_result(env, listen(a[0], a[1]));
}

/* Runs one of accept, getsockname and getpeername, which all fill (fd, address: Int32Array). */
static napi_value socket_fill_address(napi_env env, napi_callback_info info,
                                      int (*call)(int fd, struct sockaddr *address, socklen_t *length)) {
  napi_value values[2];
  int32_t fd;
  if (!addon_arguments(env, info, 2, values, NULL) || !addon_integers(env, values, 1, &fd)) return NULL;
  int32_t *words = addon_words(env, values[1], ADDRESS_WORDS, NULL);
  if (words == NULL) return NULL;
  struct sockaddr_storage address = {0};
  socklen_t length = sizeof address;
  int result = call(fd, (struct sockaddr *)&address, &length);
  if (result >= 0) address_to_words((const struct sockaddr *)&address, words);
  return addon_result(env, result);
}

static int accept_next(int fd, struct sockaddr *address, socklen_t *length) {
  int result;
  do result = accept4(fd, address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
  while (result < 0 && errno == EINTR);
  return result;
}

static napi_value socket_accept(napi_env env, napi_callback_info info) {
  return socket_fill_address(env, info, accept_next);
}

static napi_value socket_local_address(napi_env env, napi_callback_info info) {
  return socket_fill_address(env, info, getsockname);
}

static napi_value socket_peer_address(napi_env env, napi_callback_info info) {
  return socket_fill_address(env, info, getpeername);
}

/* shutdown(fd, how) */
static napi_value socket_shutdown(napi_env env, napi_callback_info info) {
  int32_t a[2];
  if (!addon_integer_arguments(env, info, 2, a, NULL)) return NULL;
  return addon_result(env, shutdown(a[0], a[1]));
}

/* setOption(fd, level, name, value) */
static napi_value socket_set_option(napi_env env, napi_callback_info info) {
  int32_t a[4];
  if (!addon_integer_arguments(env, info, 4, a, NULL)) return NULL;
  const int fd = a[0], level = a[1], name = a[2], value = a[3];
  if (level == SOL_SOCKET && name == SO_LINGER) {
    const struct linger linger = {.l_onoff = value >= 0, .l_linger = value >= 0 ? value : 0};
    return addon_result(env, setsockopt(fd, level, name, &linger, sizeof linger));
  }
  if (level == SOL_RAW && name == ICMP_FILTER) {
    const struct icmp_filter filter = {.data = (uint32_t)value};
    return addon_result(env, setsockopt(fd, level, name, &filter, sizeof filter));
  }
  return addon_result(env, setsockopt(fd, level, name, &value, sizeof value));
}

/* getOption(fd, level, name) */
static napi_value socket_get_option(napi_env env, napi_callback_info info) {
  int32_t a[3];
  if (!addon_integer_arguments(env, info, 3, a, NULL)) return NULL;
  int value = 0;
  socklen_t length = sizeof value;
  if (getsockopt(a[0], a[1], a[2], &value, &length) < 0) return addon_result(env, -1);
  return addon_number(env, value);
}

/* tcpInfo(fd, info: Int32Array). A kernel that knows fewer fields leaves the others zero. */
static napi_value socket_tcp_info(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t fd;
  if (!addon_arguments(env, info, 2, values, NULL) || !addon_integers(env, values, 1, &fd)) return NULL;
  int32_t *words = addon_words(env, values[1], TCP_INFO_WORDS, NULL);
  if (words == NULL) return NULL;
  struct tcp_info tcp = {0};
  socklen_t length = sizeof tcp;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &tcp, &length) < 0) return addon_result(env, -1);
  words[0] = tcp.tcpi_state;
  words[1] = (int32_t)tcp.tcpi_rtt;
  words[2] = (int32_t)tcp.tcpi_rttvar;
  words[3] = (int32_t)tcp.tcpi_total_retrans;
  words[4] = tcp.tcpi_snd_wscale;
  words[5] = (int32_t)tcp.tcpi_snd_mss;
  words[6] = (int32_t)tcp.tcpi_notsent_bytes;
  words[7] = (int32_t)tcp.tcpi_snd_cwnd;
  return addon_number(env, 0);
}

void socket_register(napi_env env, napi_value exports) {
  addon_function(env, exports, "socket", socket_open);
  addon_function(env, exports, "bind", socket_bind);
  addon_function(env, exports, "connect", socket_connect);
  addon_function(env, exports, "listen", socket_listen);
  addon_function(env, exports, "accept", socket_accept);
  addon_function(env, exports, "localAddress", socket_local_address);
  addon_function(env, exports, "peerAddress", socket_peer_address);
  addon_function(env, exports, "shutdown", socket_shutdown);
  addon_function(env, exports, "setOption", socket_set_option);
  addon_function(env, exports, "getOption", socket_get_option);
  addon_function(env, exports, "tcpInfo", socket_tcp_info);
}
