/* Reads the arguments of a function of the add-on. Wrong ones are a TypeError, which leaves NULL to return. */

#pragma once

#include <limits.h>
#include <node_api.h>
#include <stdbool.h>

static inline napi_value type_error(napi_env env, const char *text) {
  napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", text);
  return NULL;
}

/* Reads a whole number between `min` and `max`: no other type, no fraction, no NaN. */
static inline bool whole(napi_env env, napi_value value, int min, int max, int *out) {
  napi_valuetype type;
  double number;
  if (napi_typeof(env, value, &type) != napi_ok || type != napi_number) return false;
  if (napi_get_value_double(env, value, &number) != napi_ok) return false;
  if (!(number >= min && number <= max)) return false;
  *out = (int) number;
  return *out == number;
}

/*
 * Reads `count` arguments, of which the first is a descriptor; those that the caller leaves out are undefined. `data`, where it is not NULL,
 * gets what the function was defined with. False: an error is pending. `usage` is its text.
 */
static inline bool with_descriptor(napi_env env, napi_callback_info info, const char *usage, napi_value *values, size_t count, int *fd, void **data) {
  if (napi_get_cb_info(env, info, &count, values, NULL, data) != napi_ok) return false;
  if (whole(env, values[0], 0, INT_MAX, fd)) return true;
  type_error(env, usage);
  return false;
}
