/*
 * Datagrams in batches, with what UDP, ping and raw sockets say beside the payload: segment size (UDP_GRO in,
 * UDP_SEGMENT out), TTL or hop limit, and traffic class; and the error queue, where ICMP errors arrive (ip(7),
 * IP_RECVERR).
 *
 * A record is twelve int32 words, DATAGRAM_WORDS of src/sys/sys.ts. Control messages follow the address: IPPROTO_IP
 * for a mapped one, IPPROTO_IPV6 for others. The kernel's calls take what fits its arrays here; a longer batch is
 * several of them.
 */
#include "addon.h"
#include "socket.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/udp.h>
#include <string.h>

#define BATCH_MAX 64

enum record_word { START, LENGTH, SEGMENT, HOPS, TRAFFIC_CLASS, TRUNCATED, ADDRESS, DATAGRAM_WORDS = 12 };

enum error_word {
  ERROR_NUMBER,
  ERROR_ORIGIN,
  ERROR_TYPE,
  ERROR_CODE,
  ERROR_INFO,
  ERROR_LENGTH,
  ERROR_DESTINATION,
  ERROR_OFFENDER = 12,
  ERROR_RECORD_WORDS = 18
};

/* Room for every control message that we send or ask for: segment size, hop limit, traffic class. */
struct control {
  _Alignas(struct cmsghdr) char bytes[CMSG_SPACE(sizeof(int)) * 3];
};

struct batch {
  struct mmsghdr messages[BATCH_MAX];
  struct iovec pieces[BATCH_MAX];
  union socket_address addresses[BATCH_MAX];
  struct control controls[BATCH_MAX];
};

/* No address: the socket is connected to whom it is for. */
static bool address_is_none(const int32_t *words) {
  int32_t any = 0;
  for (int i = 0; i < ADDRESS_WORDS; i++) any |= words[i];
  return any == 0;
}

/* The int of a control message; IP_TOS comes as one byte. */
static int32_t control_value(const struct cmsghdr *control) {
  int value = 0;
  const size_t length = control->cmsg_len - CMSG_LEN(0);
  if (length >= sizeof value) memcpy(&value, CMSG_DATA(control), sizeof value);
  else if (length >= 1) value = *CMSG_DATA(control);
  return value;
}

static bool control_is(const struct cmsghdr *control, int level, int type) {
  return control->cmsg_level == level && control->cmsg_type == type;
}

static void record_controls(struct msghdr *message, int32_t *record) {
  for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
    if (control_is(c, IPPROTO_IP, IP_TTL) || control_is(c, IPPROTO_IPV6, IPV6_HOPLIMIT))
      record[HOPS] = control_value(c);
    else if (control_is(c, IPPROTO_IP, IP_TOS) || control_is(c, IPPROTO_IPV6, IPV6_TCLASS))
      record[TRAFFIC_CLASS] = control_value(c);
    else if (control_is(c, SOL_UDP, UDP_GRO))
      record[SEGMENT] = control_value(c);
  }
}

/* One recvmmsg(2) of up to `count` payloads, the first at `bytes` + `at`, each `stride` behind the one before. */
static int receive_batch(int fd, uint8_t *bytes, int64_t at, int32_t stride, int32_t room, int32_t count,
                         int32_t *records) {
  struct batch batch;
  for (int32_t i = 0; i < count; i++) {
    batch.pieces[i] = (struct iovec){.iov_base = bytes + at + (int64_t)i * stride, .iov_len = (size_t)room};
    batch.addresses[i].any.sa_family = AF_UNSPEC;
    batch.messages[i].msg_hdr = (struct msghdr){
        .msg_name = &batch.addresses[i],
        .msg_namelen = sizeof batch.addresses[i],
        .msg_iov = &batch.pieces[i],
        .msg_iovlen = 1,
        .msg_control = &batch.controls[i],
        .msg_controllen = sizeof batch.controls[i],
    };
  }
  int received;
  do received = recvmmsg(fd, batch.messages, (unsigned int)count, MSG_DONTWAIT, NULL);
  while (received < 0 && errno == EINTR);
  for (int32_t i = 0; i < received; i++) {
    struct msghdr *message = &batch.messages[i].msg_hdr;
    int32_t *record = records + (size_t)i * DATAGRAM_WORDS;
    record[START] = (int32_t)(at + (int64_t)i * stride);
    record[LENGTH] = (int32_t)batch.messages[i].msg_len;
    record[SEGMENT] = 0;
    record[HOPS] = -1;
    record[TRAFFIC_CLASS] = 0;
    record[TRUNCATED] = (message->msg_flags & MSG_TRUNC) != 0;
    address_to_words(&batch.addresses[i].any, record + ADDRESS);
    record_controls(message, record);
  }
  return received;
}

/* receiveDatagrams(fd, memory, at, end, headroom, datagramBytesMax, records, recordsAt, datagramsMax) */
static napi_value datagram_receive(napi_env env, napi_callback_info info) {
  int32_t a[9];
  struct addon *addon;
  if (!addon_integer_arguments(env, info, 9, a, &addon)) return NULL;
  const int32_t at = a[2], end = a[3], headroom = a[4], room = a[5], datagrams_max = a[8];
  if (headroom < 0 || room <= 0 || headroom > INT32_MAX - room)
    return addon_range_error(env, "the room of a datagram is not positive");
  if (at > end) return addon_range_error(env, "the range ends before it starts");
  uint8_t *bytes = memory_bytes(env, addon, a[1], 0, end);
  if (bytes == NULL || memory_bytes(env, addon, a[1], at, 0) == NULL) return NULL;
  int32_t *records = memory_words(env, addon, a[6], a[7], (int64_t)datagrams_max * DATAGRAM_WORDS);
  if (records == NULL) return NULL;

  const int32_t stride = headroom + room;
  const int32_t fitting = (end - at) / stride;
  const int32_t wanted = fitting < datagrams_max ? fitting : datagrams_max;
  int32_t total = 0;
  while (total < wanted) {
    const int32_t count = wanted - total < BATCH_MAX ? wanted - total : BATCH_MAX;
    const int64_t first = (int64_t)at + headroom + (int64_t)total * stride;
    const int received =
        receive_batch(a[0], bytes, first, stride, room, count, records + (size_t)total * DATAGRAM_WORDS);
    if (received < 0) {
      if (total > 0 || errno == EAGAIN) break;
      return addon_result(env, received);
    }
    total += received;
    if (received < count) break;
  }
  return addon_number(env, total);
}

/* Appends a control message; the buffer has room for the three that there are. */
static void append_control(struct msghdr *message, int level, int type, const void *value, size_t length) {
  struct cmsghdr *control = (struct cmsghdr *)(void *)((char *)message->msg_control + message->msg_controllen);
  control->cmsg_level = level;
  control->cmsg_type = type;
  control->cmsg_len = CMSG_LEN(length);
  memcpy(CMSG_DATA(control), value, length);
  message->msg_controllen += CMSG_SPACE(length);
}

static void append_controls(struct msghdr *message, const int32_t *record) {
  const bool inet = address_is_inet(record + ADDRESS);
  const int level = inet ? IPPROTO_IP : IPPROTO_IPV6;
  const int hops = record[HOPS], traffic_class = record[TRAFFIC_CLASS];
  if (record[SEGMENT] > 0 && record[SEGMENT] < record[LENGTH]) {
    const uint16_t segment = (uint16_t)record[SEGMENT];
    append_control(message, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment);
  }
  if (hops >= 0) append_control(message, level, inet ? IP_TTL : IPV6_HOPLIMIT, &hops, sizeof hops);
  if (traffic_class >= 0)
    append_control(message, level, inet ? IP_TOS : IPV6_TCLASS, &traffic_class, sizeof traffic_class);
}

/* One sendmmsg(2) of up to BATCH_MAX records; -1 with errno 0 when an exception is pending. */
static int send_batch(napi_env env, const struct addon *addon, int fd, int32_t memory, const int32_t *records,
                      int32_t count) {
  struct batch batch;
  memset(batch.controls, 0, (size_t)count * sizeof batch.controls[0]);
  for (int32_t i = 0; i < count; i++) {
    const int32_t *record = records + (size_t)i * DATAGRAM_WORDS;
    batch.pieces[i].iov_base = memory_bytes(env, addon, memory, record[START], record[LENGTH]);
    batch.pieces[i].iov_len = (size_t)record[LENGTH];
    if (batch.pieces[i].iov_base == NULL) {
      errno = 0;
      return -1;
    }
    struct msghdr *message = &batch.messages[i].msg_hdr;
    const bool is_connected = address_is_none(record + ADDRESS);
    *message = (struct msghdr){
        .msg_name = is_connected ? NULL : &batch.addresses[i],
        .msg_namelen = is_connected ? 0 : address_from_words(record + ADDRESS, &batch.addresses[i]),
        .msg_iov = &batch.pieces[i],
        .msg_iovlen = 1,
        .msg_control = &batch.controls[i],
    };
    append_controls(message, record);
    if (message->msg_controllen == 0) message->msg_control = NULL;
  }
  int sent;
  do sent = sendmmsg(fd, batch.messages, (unsigned int)count, MSG_NOSIGNAL | MSG_DONTWAIT);
  while (sent < 0 && errno == EINTR);
  return sent;
}

/* sendDatagrams(fd, memory, records, recordsAt, count) */
static napi_value datagram_send(napi_env env, napi_callback_info info) {
  int32_t a[5];
  struct addon *addon;
  if (!addon_integer_arguments(env, info, 5, a, &addon)) return NULL;
  const int32_t *records = memory_words(env, addon, a[2], a[3], (int64_t)a[4] * DATAGRAM_WORDS);
  if (records == NULL) return NULL;
  int32_t total = 0;
  while (total < a[4]) {
    const int32_t count = a[4] - total < BATCH_MAX ? a[4] - total : BATCH_MAX;
    const int sent = send_batch(env, addon, a[0], a[1], records + (size_t)total * DATAGRAM_WORDS, count);
    if (sent < 0) {
      if (errno == 0) return NULL;
      if (total > 0) break;
      return addon_result(env, sent);
    }
    total += sent;
    if (sent < count) break;
  }
  return addon_number(env, total);
}

/* Fills the record from struct sock_extended_err and the offender's address behind it. */
static void error_from_control(const struct cmsghdr *control, int32_t *record) {
  struct {
    struct sock_extended_err error;
    union socket_address offender;
  } data;
  memset(&data, 0, sizeof data);
  const size_t length = control->cmsg_len - CMSG_LEN(0);
  memcpy(&data, CMSG_DATA(control), length < sizeof data ? length : sizeof data);
  record[ERROR_NUMBER] = (int32_t)data.error.ee_errno;
  record[ERROR_ORIGIN] = data.error.ee_origin;
  record[ERROR_TYPE] = data.error.ee_type;
  record[ERROR_CODE] = data.error.ee_code;
  record[ERROR_INFO] = (int32_t)data.error.ee_info;
  address_to_words(&data.offender.any, record + ERROR_OFFENDER);
}

/* receiveError(fd, memory, at, length, record: Int32Array) */
static napi_value datagram_receive_error(napi_env env, napi_callback_info info) {
  napi_value values[5];
  int32_t a[4];
  struct addon *addon;
  if (!addon_arguments(env, info, 5, values, &addon) || !addon_integers(env, values, 4, a)) return NULL;
  uint8_t *bytes = memory_bytes(env, addon, a[1], a[2], a[3]);
  if (bytes == NULL) return NULL;
  int32_t *record = addon_words(env, values[4], ERROR_RECORD_WORDS, NULL);
  if (record == NULL) return NULL;

  _Alignas(struct cmsghdr) char control[512];
  union socket_address destination = {.any.sa_family = AF_UNSPEC};
  struct iovec piece = {.iov_base = bytes, .iov_len = (size_t)a[3]};
  struct msghdr message = {
      .msg_name = &destination,
      .msg_namelen = sizeof destination,
      .msg_iov = &piece,
      .msg_iovlen = 1,
      .msg_control = control,
      .msg_controllen = sizeof control,
  };
  ssize_t received;
  do received = recvmsg(a[0], &message, MSG_ERRQUEUE | MSG_DONTWAIT);
  while (received < 0 && errno == EINTR);
  if (received < 0) return errno == EAGAIN ? addon_number(env, 0) : addon_result(env, received);

  memset(record, 0, ERROR_RECORD_WORDS * sizeof *record);
  record[ERROR_LENGTH] = (int32_t)received;
  address_to_words(&destination.any, record + ERROR_DESTINATION);
  for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c))
    if (control_is(c, IPPROTO_IP, IP_RECVERR) || control_is(c, IPPROTO_IPV6, IPV6_RECVERR))
      error_from_control(c, record);
  return addon_number(env, 1);
}

void datagram_register(napi_env env, napi_value exports) {
  addon_function(env, exports, "receiveDatagrams", datagram_receive);
  addon_function(env, exports, "sendDatagrams", datagram_send);
  addon_function(env, exports, "receiveError", datagram_receive_error);
}
