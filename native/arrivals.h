/* Waits for the first bytes of descriptors, and looks at bytes that stay unread. */

#pragma once

#include <node_api.h>
#include <stdbool.h>

/* Adds onArrival(), await(), forget() and peek() to the module of this environment. False: a JavaScript error is pending. */
bool define_arrivals(napi_env env, napi_value exports);
