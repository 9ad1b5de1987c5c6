/* Waits for the first bytes of descriptors, looks at bytes that stay unread, and counts bytes. */

#pragma once

#include <node_api.h>
#include <stdbool.h>

/* Adds onArrival(), await(), forget(), peek() and received() to the module of this environment. False: a JavaScript error is pending. */
bool define_arrivals(napi_env env, napi_value exports);

/* Bytes that TCP has received in order on a connection, read or not; 0 before Linux 4.1. Returns 0, or errno. */
int tcp_received(int fd, double *bytes);
