/*
 * How many descriptors this process may have (RLIMIT_NOFILE). Node has raised it to the hard limit when it began; beyond that only the
 * privileged may go (CAP_SYS_RESOURCE), up to fs.nr_open.
 */
#include "addon.h"

#include <sys/resource.h>

/* descriptorLimit(wanted): raises the limit to `wanted` where that may be. What it is then, or -errno. */
static napi_value limit_descriptors(napi_env env, napi_callback_info info) {
  int32_t wanted;
  if (!addon_integer_arguments(env, info, 1, &wanted, NULL)) return NULL;
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return addon_result(env, -1);
  if (wanted > 0 && limit.rlim_cur < (rlim_t)wanted) {
    const rlim_t most = limit.rlim_max < (rlim_t)wanted ? (rlim_t)wanted : limit.rlim_max;
    const struct rlimit raised = {.rlim_cur = (rlim_t)wanted, .rlim_max = most};
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
    else if (limit.rlim_cur < limit.rlim_max) {
      const struct rlimit hard = {.rlim_cur = limit.rlim_max, .rlim_max = limit.rlim_max};
      if (setrlimit(RLIMIT_NOFILE, &hard) == 0) limit = hard;
    }
  }
  return addon_number(env, limit.rlim_cur > INT32_MAX ? INT32_MAX : (int64_t)limit.rlim_cur);
}

void limit_register(napi_env env, napi_value exports) {
  addon_function(env, exports, "descriptorLimit", limit_descriptors);
}
