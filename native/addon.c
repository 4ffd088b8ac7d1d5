/*
 * The addon's entry: makes the state of one environment, registers the families, and reads arguments for them.
 *
 * A call costs what Node-API's crossing costs: one napi_get_cb_info, one napi_get_value_int32 for each argument, one
 * number made for the result: measured, 33 ns with five arguments and 44 ns with eight, on a machine where a system
 * call takes 100. Typed arrays are looked at only where they are not registered memories (addresses, records), since
 * napi_get_typedarray_info costs as much as the rest of a call.
 */
#include "addon.h"

#include <errno.h>
#include <stdlib.h>

static void addon_finalize(napi_env env, void *data, void *hint) {
  (void)hint;
  struct addon *addon = data;
  memory_release(env, addon);
  free(addon);
}

NAPI_MODULE_INIT() {
  struct addon *addon = calloc(1, sizeof *addon);
  if (addon == NULL || napi_set_instance_data(env, addon, addon_finalize, NULL) != napi_ok) {
    free(addon);
    napi_throw_error(env, NULL, "out of memory");
    return NULL;
  }
  memory_register(env, exports);
  tap_register(env, exports);
  vhost_register(env, exports);
  socket_register(env, exports);
  stream_register(env, exports);
  datagram_register(env, exports);
  poll_register(env, exports);
  signal_register(env, exports);
  namespace_register(env, exports);
  sandbox_register(env, exports);
  raw_socket_register(env, exports);
  unix_socket_register(env, exports);
  splice_register(env, exports);
  socket_server_register(env, exports);
  path_remover_register(env, exports);
  datagram_peer_register(env, exports);
  guest_memory_register(env, exports);
  limit_register(env, exports);
  return exports;
}

void addon_function(napi_env env, napi_value exports, const char *name, napi_callback function) {
  void *addon = NULL;
  napi_value value;
  if (napi_get_instance_data(env, &addon) != napi_ok ||
      napi_create_function(env, name, NAPI_AUTO_LENGTH, function, addon, &value) != napi_ok ||
      napi_set_named_property(env, exports, name, value) != napi_ok)
    napi_fatal_error("addon_function", NAPI_AUTO_LENGTH, name, NAPI_AUTO_LENGTH);
}

bool addon_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *values, struct addon **addon) {
  void *data = NULL;
  if (napi_get_cb_info(env, info, &count, values, NULL, &data) != napi_ok) {
    napi_throw_error(env, NULL, "arguments can not be read");
    return false;
  }
  if (addon != NULL) *addon = data;
  return true;
}

bool addon_integers(napi_env env, const napi_value *values, size_t count, int32_t *integers) {
  for (size_t i = 0; i < count; i++) {
    if (napi_get_value_int32(env, values[i], &integers[i]) != napi_ok) {
      napi_throw_type_error(env, NULL, "a number was expected");
      return false;
    }
  }
  return true;
}

bool addon_integer_arguments(napi_env env, napi_callback_info info, size_t count, int32_t *integers,
                             struct addon **addon) {
  napi_value values[ADDON_INTEGERS_MAX];
  return addon_arguments(env, info, count, values, addon) && addon_integers(env, values, count, integers);
}

int32_t *addon_words(napi_env env, napi_value value, size_t words, size_t *available) {
  napi_typedarray_type type;
  size_t length = 0;
  void *data = NULL;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, NULL, NULL) != napi_ok || type != napi_int32_array) {
    napi_throw_type_error(env, NULL, "an Int32Array was expected");
    return NULL;
  }
  if (length < words || data == NULL) {
    napi_throw_range_error(env, NULL, "the Int32Array has too few words");
    return NULL;
  }
  if (available != NULL) *available = length;
  return data;
}

napi_value addon_number(napi_env env, int64_t value) {
  napi_value number = NULL;
  if (value >= INT32_MIN && value <= INT32_MAX) napi_create_int32(env, (int32_t)value, &number);
  else napi_create_int64(env, value, &number);
  return number;
}

napi_value addon_result(napi_env env, int64_t result) {
  return addon_number(env, result < 0 ? -errno : result);
}

napi_value addon_range_error(napi_env env, const char *message) {
  napi_throw_range_error(env, NULL, message);
  return NULL;
}
