/*
 * Registered memories: typed arrays that JavaScript hands over once and then names by a small integer.
 *
 * The table keeps a strong reference to each, so V8 can not collect an array that JavaScript no longer mentions while
 * a later call would still write into it. The pointer stays the same for the array's life (the backing store of an
 * array does not move), unless its buffer is transferred to another thread: that, and a resizable buffer, the caller
 * must not do. Every call checks its ranges here, in 64 bits, so no length reaches the kernel that was not inside a
 * registered memory.
 */
#include "addon.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define MEMORIES_MAX 4096

static struct memory *memory_free_entry(napi_env env, struct addon *addon) {
  for (size_t id = 0; id < addon->memories_count; id++)
    if (addon->memories[id].reference == NULL) return &addon->memories[id];
  if (addon->memories_count == MEMORIES_MAX) {
    addon_range_error(env, "too many memories are registered");
    return NULL;
  }
  struct memory *grown = realloc(addon->memories, (addon->memories_count + 1) * sizeof *grown);
  if (grown == NULL) {
    napi_throw_error(env, NULL, "out of memory");
    return NULL;
  }
  addon->memories = grown;
  grown[addon->memories_count] = (struct memory){0};
  return &grown[addon->memories_count++];
}

/* register(array: Uint8Array | Int32Array): id */
static napi_value memory_register_array(napi_env env, napi_callback_info info) {
  napi_value array;
  struct addon *addon;
  if (!addon_arguments(env, info, 1, &array, &addon)) return NULL;
  napi_typedarray_type type;
  size_t length = 0;
  void *bytes = NULL;
  if (napi_get_typedarray_info(env, array, &type, &length, &bytes, NULL, NULL) != napi_ok ||
      (type != napi_uint8_array && type != napi_int32_array)) {
    napi_throw_type_error(env, NULL, "a Uint8Array or an Int32Array was expected");
    return NULL;
  }
  if (length == 0 || bytes == NULL) return addon_range_error(env, "an empty memory can not be registered");
  struct memory *memory = memory_free_entry(env, addon);
  if (memory == NULL) return NULL;
  if (napi_create_reference(env, array, 1, &memory->reference) != napi_ok) {
    memory->reference = NULL;
    napi_throw_error(env, NULL, "the memory can not be referenced");
    return NULL;
  }
  memory->bytes = bytes;
  memory->words = type == napi_int32_array;
  memory->length = memory->words ? length * sizeof(int32_t) : length;
  return addon_number(env, memory - addon->memories);
}

/* unregister(id): void */
static napi_value memory_unregister(napi_env env, napi_callback_info info) {
  int32_t id;
  struct addon *addon;
  if (!addon_integer_arguments(env, info, 1, &id, &addon)) return NULL;
  if (id < 0 || (size_t)id >= addon->memories_count || addon->memories[id].reference == NULL)
    return addon_range_error(env, "no memory is registered with this id");
  napi_delete_reference(env, addon->memories[id].reference);
  addon->memories[id] = (struct memory){0};
  return NULL;
}

/* close(fd): EINTR is success, since Linux has freed the descriptor by then (close(2)). */
static napi_value memory_close(napi_env env, napi_callback_info info) {
  int32_t fd;
  if (!addon_integer_arguments(env, info, 1, &fd, NULL)) return NULL;
  int result = close(fd);
  return addon_result(env, result < 0 && errno == EINTR ? 0 : result);
}

/* read(fd, memory, at, length) */
static napi_value memory_read(napi_env env, napi_callback_info info) {
  int32_t a[4];
  struct addon *addon;
  if (!addon_integer_arguments(env, info, 4, a, &addon)) return NULL;
  uint8_t *bytes = memory_bytes(env, addon, a[1], a[2], a[3]);
  if (bytes == NULL) return NULL;
  ssize_t result;
  do result = read(a[0], bytes, (size_t)a[3]);
  while (result < 0 && errno == EINTR);
  return addon_result(env, result);
}

/* write(fd, memory, at, length) */
static napi_value memory_write(napi_env env, napi_callback_info info) {
  int32_t a[4];
  struct addon *addon;
  if (!addon_integer_arguments(env, info, 4, a, &addon)) return NULL;
  const uint8_t *bytes = memory_bytes(env, addon, a[1], a[2], a[3]);
  if (bytes == NULL) return NULL;
  ssize_t result;
  do result = write(a[0], bytes, (size_t)a[3]);
  while (result < 0 && errno == EINTR);
  return addon_result(env, result);
}

uint8_t *memory_bytes(napi_env env, const struct addon *addon, int32_t id, int32_t at, int32_t length) {
  if (id < 0 || (size_t)id >= addon->memories_count || addon->memories[id].bytes == NULL) {
    addon_range_error(env, "no memory is registered with this id");
    return NULL;
  }
  const struct memory *memory = &addon->memories[id];
  if (at < 0 || length < 0 || (uint64_t)at + (uint64_t)length > memory->length) {
    addon_range_error(env, "the range is not inside the memory");
    return NULL;
  }
  return memory->bytes + at;
}

int32_t *memory_words(napi_env env, const struct addon *addon, int32_t id, int32_t at, int64_t count) {
  if (id < 0 || (size_t)id >= addon->memories_count || !addon->memories[id].words) {
    addon_range_error(env, "no Int32Array is registered with this id");
    return NULL;
  }
  const struct memory *memory = &addon->memories[id];
  if (at < 0 || count < 0 || (uint64_t)at + (uint64_t)count > memory->length / sizeof(int32_t)) {
    addon_range_error(env, "the words are not inside the memory");
    return NULL;
  }
  return (int32_t *)(void *)memory->bytes + at;
}

void memory_release(napi_env env, struct addon *addon) {
  for (size_t id = 0; id < addon->memories_count; id++)
    if (addon->memories[id].reference != NULL) napi_delete_reference(env, addon->memories[id].reference);
  free(addon->memories);
  addon->memories = NULL;
  addon->memories_count = 0;
}

void memory_register(napi_env env, napi_value exports) {
  addon_function(env, exports, "register", memory_register_array);
  addon_function(env, exports, "unregister", memory_unregister);
  addon_function(env, exports, "close", memory_close);
  addon_function(env, exports, "read", memory_read);
  addon_function(env, exports, "write", memory_write);
}
