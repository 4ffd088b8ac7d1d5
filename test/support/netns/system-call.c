/* For tests: any system call from JavaScript. systemCall(number, a, b, c, d, e, f): its result, or -errno. */
#include <errno.h>
#include <node_api.h>
#include <stdint.h>
#include <unistd.h>

#define WORDS 7

static napi_value system_call(napi_env env, napi_callback_info info) {
  size_t count = WORDS;
  napi_value values[WORDS], result;
  int64_t words[WORDS] = {0};
  napi_get_cb_info(env, info, &count, values, NULL, NULL);
  for (size_t i = 0; i < WORDS && i < count; i++) napi_get_value_int64(env, values[i], &words[i]);
  long returned = syscall(words[0], words[1], words[2], words[3], words[4], words[5], words[6]);
  napi_create_int64(env, returned < 0 ? -errno : returned, &result);
  return result;
}

NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, "systemCall", NAPI_AUTO_LENGTH, system_call, NULL, &function);
  napi_set_named_property(env, exports, "systemCall", function);
  return exports;
}
