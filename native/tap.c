/*
 * TAP devices: opening one in the current network namespace, its settings, and frames in batches.
 *
 * A batch is a loop of read(2) or write(2), since the device has no call for several frames; what is saved is the
 * crossing. They are called by their numbers: in a process with threads, read() and write() of the C library make each call
 * a place where the thread may be cancelled, with two atomic operations, which is 2 % of what a small frame costs. Frames carry their virtio-net header in front when the device was opened with IFF_VNET_HDR. The ioctls
 * are those of linux/if_tun.h.
 */
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* struct virtio_net_hdr_mrg_rxbuf; the device's own default is 10 bytes, without the count of buffers. */
#define VNET_HEADER_BYTES 12

/* `name` has IFNAMSIZ bytes. */
static int tap_configure(int fd, const char *name, int32_t flags) {
  struct ifreq request = {.ifr_flags = (short)flags};
  memcpy(request.ifr_name, name, IFNAMSIZ);
  if (ioctl(fd, TUNSETIFF, &request) < 0) return -1;
  if ((flags & IFF_VNET_HDR) == 0) return 0;
  int header_bytes = VNET_HEADER_BYTES;
  int little_endian = 1;
  if (ioctl(fd, TUNSETVNETHDRSZ, &header_bytes) < 0) return -1;
  return ioctl(fd, TUNSETVNETLE, &little_endian);
}

/* Reads a name into `name`, which has IFNAMSIZ + 1 bytes: 0, or -EINVAL. A pending exception: 1. */
static int tap_name_argument(napi_env env, napi_value value, char *name) {
  size_t length;
  memset(name, 0, IFNAMSIZ + 1); /* one more, to tell a name that is too long */
  if (napi_get_value_string_utf8(env, value, name, IFNAMSIZ + 1, &length) != napi_ok) {
    napi_throw_type_error(env, NULL, "a string was expected");
    return 1;
  }
  return length >= IFNAMSIZ || strlen(name) != length ? -EINVAL : 0;
}

/* tunOpen(name, flags): the descriptor. The name may hold a %d, or be empty: tunInterfaceName tells what it became. */
static napi_value tap_open(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t flags;
  char name[IFNAMSIZ + 1];
  if (!addon_arguments(env, info, 2, values, NULL) || !addon_integers(env, values + 1, 1, &flags)) return NULL;
  int invalid = tap_name_argument(env, values[0], name);
  if (invalid != 0) return invalid < 0 ? addon_number(env, invalid) : NULL;
  int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return addon_result(env, fd);
  if (tap_configure(fd, name, flags) < 0) {
    napi_value result = addon_result(env, -1);
    close(fd);
    return result;
  }
  return addon_number(env, fd);
}

/* tunOpenDevice(): a descriptor without an interface, in the current network namespace. */
static napi_value tap_open_device(napi_env env, napi_callback_info info) {
  (void)info;
  return addon_result(env, open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
}

/* tunSetInterface(fd, name, flags): gives such a descriptor its interface. */
static napi_value tap_set_interface(napi_env env, napi_callback_info info) {
  napi_value values[3];
  int32_t fd, flags;
  char name[IFNAMSIZ + 1];
  if (!addon_arguments(env, info, 3, values, NULL) || !addon_integers(env, values, 1, &fd) ||
      !addon_integers(env, values + 2, 1, &flags))
    return NULL;
  int invalid = tap_name_argument(env, values[1], name);
  if (invalid != 0) return invalid < 0 ? addon_number(env, invalid) : NULL;
  return addon_result(env, tap_configure(fd, name, flags));
}

/* tunSetPersist(fd, persist), tunSetOwner(fd, uid), tunSetGroup(fd, gid): these ioctls take a value, no pointer. */
static napi_value tap_set_value(napi_env env, napi_callback_info info, unsigned long request) {
  int32_t a[2];
  if (!addon_integer_arguments(env, info, 2, a, NULL)) return NULL;
  return addon_result(env, ioctl(a[0], request, (unsigned long)(uint32_t)a[1]));
}

static napi_value tap_set_persist(napi_env env, napi_callback_info info) {
  return tap_set_value(env, info, TUNSETPERSIST);
}

static napi_value tap_set_owner(napi_env env, napi_callback_info info) {
  return tap_set_value(env, info, TUNSETOWNER);
}

static napi_value tap_set_group(napi_env env, napi_callback_info info) {
  return tap_set_value(env, info, TUNSETGROUP);
}

/* Since Linux 5.0; older headers do not have it. */
#ifndef TUNSETCARRIER
#define TUNSETCARRIER _IOW('T', 226, int)
#endif

/* tunSetCarrier(fd, carrier): whether the interface sees a cable. */
static napi_value tap_set_carrier(napi_env env, napi_callback_info info) {
  int32_t a[2];
  if (!addon_integer_arguments(env, info, 2, a, NULL)) return NULL;
  return addon_result(env, ioctl(a[0], TUNSETCARRIER, &a[1]));
}

/* tunSetSendBuffer(fd, bytes): how much of what we write may wait inside the kernel. */
static napi_value tap_set_send_buffer(napi_env env, napi_callback_info info) {
  int32_t a[2];
  if (!addon_integer_arguments(env, info, 2, a, NULL)) return NULL;
  return addon_result(env, ioctl(a[0], TUNSETSNDBUF, &a[1]));
}

/* tunInterfaceName(fd): the name, or -errno. */
static napi_value tap_interface_name(napi_env env, napi_callback_info info) {
  int32_t fd;
  if (!addon_integer_arguments(env, info, 1, &fd, NULL)) return NULL;
  struct ifreq request = {0};
  if (ioctl(fd, TUNGETIFF, &request) < 0) return addon_result(env, -1);
  napi_value name = NULL;
  napi_create_string_utf8(env, request.ifr_name, strnlen(request.ifr_name, IFNAMSIZ), &name);
  return name;
}

/* tunNamespace(fd): a descriptor of the network namespace that the interface is in now, or -errno. Linux 5.2. */
static napi_value tap_namespace(napi_env env, napi_callback_info info) {
  int32_t fd;
  if (!addon_integer_arguments(env, info, 1, &fd, NULL)) return NULL;
  return addon_result(env, ioctl(fd, TUNGETDEVNETNS));
}

/*
 * tunFeatures(fd): the IFF_* flags that the kernel's TUNSETIFF knows. Asked of a descriptor without an interface,
 * too.
 */
static napi_value tap_features(napi_env env, napi_callback_info info) {
  int32_t fd;
  if (!addon_integer_arguments(env, info, 1, &fd, NULL)) return NULL;
  unsigned int features = 0;
  if (ioctl(fd, TUNGETFEATURES, &features) < 0) return addon_result(env, -1);
  return addon_number(env, features);
}

/* tunSetOffload(fd, flags): which unfinished frames (TUN_F_*) the kernel may hand to us. */
static napi_value tap_set_offload(napi_env env, napi_callback_info info) {
  int32_t a[2];
  if (!addon_integer_arguments(env, info, 2, a, NULL)) return NULL;
  return addon_result(env, ioctl(a[0], TUNSETOFFLOAD, (unsigned long)(uint32_t)a[1]));
}

/* tunSetVnetHeaderSize(fd, bytes) */
static napi_value tap_set_vnet_header_size(napi_env env, napi_callback_info info) {
  int32_t a[2];
  if (!addon_integer_arguments(env, info, 2, a, NULL)) return NULL;
  return addon_result(env, ioctl(a[0], TUNSETVNETHDRSZ, &a[1]));
}

/* readFrames(fd, memory, at, end, frameBytesMax, vector, vectorAt, framesMax, headroom = 0) */
static napi_value tap_read_frames(napi_env env, napi_callback_info info) {
  napi_value values[9];
  int32_t a[8], headroom = 0;
  struct addon *addon;
  if (!addon_arguments(env, info, 9, values, &addon) || !addon_integers(env, values, 8, a)) return NULL;
  napi_valuetype given = napi_undefined;
  napi_typeof(env, values[8], &given);
  if (given != napi_undefined && !addon_integers(env, values + 8, 1, &headroom)) return NULL;
  const int fd = a[0];
  const int32_t end = a[3], frame_bytes_max = a[4], frames_max = a[7];
  if (frame_bytes_max <= 0) return addon_range_error(env, "frameBytesMax is not positive");
  if (headroom < 0) return addon_range_error(env, "headroom is negative");
  if (a[2] > end) return addon_range_error(env, "the range ends before it starts");
  uint8_t *bytes = memory_bytes(env, addon, a[1], 0, end);
  if (bytes == NULL || memory_bytes(env, addon, a[1], a[2], 0) == NULL) return NULL;
  int32_t *vector = memory_words(env, addon, a[5], a[6], 2 * (int64_t)frames_max);
  if (vector == NULL) return NULL;

  int32_t count = 0;
  int64_t at = (((int64_t)a[2] + 3) & ~INT64_C(3)) + headroom;
  while (count < frames_max && at + frame_bytes_max <= end) {
    long length = syscall(SYS_read, fd, bytes + at, (size_t)frame_bytes_max);
    if (length < 0) {
      if (errno == EINTR) continue;
      if (count > 0 || errno == EAGAIN) break;
      return addon_result(env, length);
    }
    if (length == 0) break;
    vector[2 * count] = (int32_t)at;
    vector[2 * count + 1] = (int32_t)length;
    count++;
    at = ((at + length + 3) & ~INT64_C(3)) + headroom;
  }
  return addon_number(env, count);
}

/* writeFrames(fd, memory, vector, vectorAt, count) */
static napi_value tap_write_frames(napi_env env, napi_callback_info info) {
  int32_t a[5];
  struct addon *addon;
  if (!addon_integer_arguments(env, info, 5, a, &addon)) return NULL;
  const int32_t count = a[4];
  const int32_t *vector = memory_words(env, addon, a[2], a[3], 2 * (int64_t)count);
  if (vector == NULL) return NULL;

  int32_t written = 0;
  while (written < count) {
    const int32_t length = vector[2 * written + 1];
    const uint8_t *frame = memory_bytes(env, addon, a[1], vector[2 * written], length);
    if (frame == NULL) return NULL;
    if (syscall(SYS_write, a[0], frame, (size_t)length) < 0) {
      if (errno == EINTR) continue;
      if (written > 0) break;
      return addon_result(env, -1);
    }
    written++;
  }
  return addon_number(env, written);
}

void tap_register(napi_env env, napi_value exports) {
  addon_function(env, exports, "tunOpen", tap_open);
  addon_function(env, exports, "tunOpenDevice", tap_open_device);
  addon_function(env, exports, "tunSetInterface", tap_set_interface);
  addon_function(env, exports, "tunSetPersist", tap_set_persist);
  addon_function(env, exports, "tunSetOwner", tap_set_owner);
  addon_function(env, exports, "tunSetGroup", tap_set_group);
  addon_function(env, exports, "tunSetCarrier", tap_set_carrier);
  addon_function(env, exports, "tunSetSendBuffer", tap_set_send_buffer);
  addon_function(env, exports, "tunInterfaceName", tap_interface_name);
  addon_function(env, exports, "tunNamespace", tap_namespace);
  addon_function(env, exports, "tunFeatures", tap_features);
  addon_function(env, exports, "tunSetOffload", tap_set_offload);
  addon_function(env, exports, "tunSetVnetHeaderSize", tap_set_vnet_header_size);
  addon_function(env, exports, "readFrames", tap_read_frames);
  addon_function(env, exports, "writeFrames", tap_write_frames);
}
