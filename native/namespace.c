/* Placeholder until the family of namespaces is there. */
#include "addon.h"

void namespace_register(napi_env env, napi_value exports) {
  (void)env;
  (void)exports;
}
