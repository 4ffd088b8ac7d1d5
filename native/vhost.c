/*
 * vhost-net: the kernel as the device of virtqueues that lie in a registered memory, and the event descriptors by which the
 * two sides wake each other (linux/vhost.h, eventfd(2)).
 *
 * The kernel keeps the addresses that it is given until the descriptor is closed, and reads and writes there from threads
 * of its own: the memory must stay registered until then.
 *
 * What the kernel calls guest physical addresses, which the descriptors of a ring hold, are here places in the memory, from
 * its start.
 */
#include "addon.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Bytes of a ring's parts without and for its entries (virtio 1.2, section 2.7), the event index included. */
#define DESCRIPTOR_BYTES 16
#define AVAILABLE_BYTES 6
#define AVAILABLE_ENTRY_BYTES 2
#define USED_BYTES 6
#define USED_ENTRY_BYTES 8
#define RING_ENTRIES_MAX 32768

/* eventCreate(): a descriptor that is readable once 8 bytes were written to it. */
static napi_value vhost_event_create(napi_env env, napi_callback_info info) {
  (void)info;
  return addon_result(env, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
}

/*
 * eventAdopt(fd): makes another's event descriptor one that does not block us; -EINVAL when it can not be one. What has a
 * file type (a pipe, a file, a device) is none, and of the others only an event takes the number zero, which tells
 * nobody anything. A poll set of theirs in ours would have us ask files of theirs, whose answer could take for ever.
 */
static napi_value vhost_event_adopt(napi_env env, napi_callback_info info) {
  int32_t fd;
  struct stat status;
  if (!addon_integer_arguments(env, info, 1, &fd, NULL)) return NULL;
  if (fstat(fd, &status) < 0) return addon_result(env, -1);
  if ((status.st_mode & S_IFMT) != 0) return addon_number(env, -EINVAL);
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) return addon_result(env, -1);
  const uint64_t zero = 0;
  return addon_number(env, write(fd, &zero, sizeof zero) == sizeof zero ? 0 : -EINVAL);
}

/* vhostOpen() */
static napi_value vhost_open(napi_env env, napi_callback_info info) {
  (void)info;
  return addon_result(env, open("/dev/vhost-net", O_RDWR | O_NONBLOCK | O_CLOEXEC));
}

/* vhostSetOwner(fd) */
static napi_value vhost_set_owner(napi_env env, napi_callback_info info) {
  int32_t fd;
  if (!addon_integer_arguments(env, info, 1, &fd, NULL)) return NULL;
  return addon_result(env, ioctl(fd, VHOST_SET_OWNER));
}

/* vhostGetFeatures(fd, features: Int32Array): the low word, then the high one. */
static napi_value vhost_get_features(napi_env env, napi_callback_info info) {
  napi_value values[2];
  int32_t fd;
  if (!addon_arguments(env, info, 2, values, NULL) || !addon_integers(env, values, 1, &fd)) return NULL;
  int32_t *words = addon_words(env, values[1], 2, NULL);
  if (words == NULL) return NULL;
  uint64_t features = 0;
  int result = ioctl(fd, VHOST_GET_FEATURES, &features);
  if (result < 0) return addon_result(env, result);
  words[0] = (int32_t)(uint32_t)features;
  words[1] = (int32_t)(uint32_t)(features >> 32);
  return addon_number(env, 0);
}

/* vhostSetFeatures(fd, low, high) */
static napi_value vhost_set_features(napi_env env, napi_callback_info info) {
  int32_t a[3];
  if (!addon_integer_arguments(env, info, 3, a, NULL)) return NULL;
  uint64_t features = (uint64_t)(uint32_t)a[2] << 32 | (uint32_t)a[1];
  return addon_result(env, ioctl(a[0], VHOST_SET_FEATURES, &features));
}

/* vhostSetMemory(fd, memory, length): the first `length` bytes of it. */
static napi_value vhost_set_memory(napi_env env, napi_callback_info info) {
  int32_t a[3];
  struct addon *addon;
  if (!addon_integer_arguments(env, info, 3, a, &addon)) return NULL;
  const uint8_t *bytes = memory_bytes(env, addon, a[1], 0, a[2]);
  if (bytes == NULL) return NULL;
  struct vhost_memory *table = calloc(1, sizeof *table + sizeof table->regions[0]);
  if (table == NULL) return addon_number(env, -ENOMEM);
  table->nregions = 1;
  table->regions[0] = (struct vhost_memory_region){
      .guest_phys_addr = 0, .memory_size = (uint64_t)a[2], .userspace_addr = (uintptr_t)bytes};
  napi_value result = addon_result(env, ioctl(a[0], VHOST_SET_MEM_TABLE, table));
  free(table);
  return result;
}

static napi_value vhost_set_ring_state(napi_env env, napi_callback_info info, unsigned long request) {
  int32_t a[3];
  if (!addon_integer_arguments(env, info, 3, a, NULL)) return NULL;
  struct vhost_vring_state state = {.index = (uint32_t)a[1], .num = (uint32_t)a[2]};
  return addon_result(env, ioctl(a[0], request, &state));
}

/* vhostSetRingSize(fd, ring, size), vhostSetRingBase(fd, ring, base) */
static napi_value vhost_set_ring_size(napi_env env, napi_callback_info info) {
  return vhost_set_ring_state(env, info, VHOST_SET_VRING_NUM);
}

static napi_value vhost_set_ring_base(napi_env env, napi_callback_info info) {
  return vhost_set_ring_state(env, info, VHOST_SET_VRING_BASE);
}

/* vhostSetRingAddresses(fd, ring, size, memory, descriptors, available, used) */
static napi_value vhost_set_ring_addresses(napi_env env, napi_callback_info info) {
  int32_t a[7];
  struct addon *addon;
  if (!addon_integer_arguments(env, info, 7, a, &addon)) return NULL;
  const int32_t size = a[2], memory = a[3];
  if (size < 1 || size > RING_ENTRIES_MAX) return addon_range_error(env, "a ring has no such size");
  const uint8_t *descriptors = memory_bytes(env, addon, memory, a[4], DESCRIPTOR_BYTES * size);
  if (descriptors == NULL) return NULL;
  const uint8_t *available = memory_bytes(env, addon, memory, a[5], AVAILABLE_BYTES + AVAILABLE_ENTRY_BYTES * size);
  if (available == NULL) return NULL;
  const uint8_t *used = memory_bytes(env, addon, memory, a[6], USED_BYTES + USED_ENTRY_BYTES * size);
  if (used == NULL) return NULL;
  struct vhost_vring_addr addresses = {.index = (uint32_t)a[1],
                                       .desc_user_addr = (uintptr_t)descriptors,
                                       .avail_user_addr = (uintptr_t)available,
                                       .used_user_addr = (uintptr_t)used};
  return addon_result(env, ioctl(a[0], VHOST_SET_VRING_ADDR, &addresses));
}

static napi_value vhost_set_ring_file(napi_env env, napi_callback_info info, unsigned long request) {
  int32_t a[3];
  if (!addon_integer_arguments(env, info, 3, a, NULL)) return NULL;
  struct vhost_vring_file file = {.index = (uint32_t)a[1], .fd = a[2]};
  return addon_result(env, ioctl(a[0], request, &file));
}

/* vhostSetRingKick(fd, ring, event), vhostSetRingCall(...), vhostSetRingError(...), vhostSetBackend(fd, ring, tap); -1: none. */
static napi_value vhost_set_ring_kick(napi_env env, napi_callback_info info) {
  return vhost_set_ring_file(env, info, VHOST_SET_VRING_KICK);
}

static napi_value vhost_set_ring_call(napi_env env, napi_callback_info info) {
  return vhost_set_ring_file(env, info, VHOST_SET_VRING_CALL);
}

static napi_value vhost_set_ring_error(napi_env env, napi_callback_info info) {
  return vhost_set_ring_file(env, info, VHOST_SET_VRING_ERR);
}

static napi_value vhost_set_backend(napi_env env, napi_callback_info info) {
  return vhost_set_ring_file(env, info, VHOST_NET_SET_BACKEND);
}

void vhost_register(napi_env env, napi_value exports) {
  addon_function(env, exports, "eventCreate", vhost_event_create);
  addon_function(env, exports, "eventAdopt", vhost_event_adopt);
  addon_function(env, exports, "vhostOpen", vhost_open);
  addon_function(env, exports, "vhostSetOwner", vhost_set_owner);
  addon_function(env, exports, "vhostGetFeatures", vhost_get_features);
  addon_function(env, exports, "vhostSetFeatures", vhost_set_features);
  addon_function(env, exports, "vhostSetMemory", vhost_set_memory);
  addon_function(env, exports, "vhostSetRingSize", vhost_set_ring_size);
  addon_function(env, exports, "vhostSetRingBase", vhost_set_ring_base);
  addon_function(env, exports, "vhostSetRingAddresses", vhost_set_ring_addresses);
  addon_function(env, exports, "vhostSetRingKick", vhost_set_ring_kick);
  addon_function(env, exports, "vhostSetRingCall", vhost_set_ring_call);
  addon_function(env, exports, "vhostSetRingError", vhost_set_ring_error);
  addon_function(env, exports, "vhostSetBackend", vhost_set_backend);
}
