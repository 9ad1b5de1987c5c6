/* Looks at connections and their events, for the module in guard.c. */

#pragma once

#include <node_api.h>
#include <stdbool.h>
#include <stdint.h>

/* Defines peek, received, cookie, trace and current. False: an error is pending. */
bool define_connections(napi_env env, napi_value exports);

/* Bytes that TCP has received in order on a connection, read or not; 0 where the kernel does not count them. Returns 0, or errno. */
int tcp_received(int fd, double *bytes);

/* The number that the kernel gives to a socket and to no later one. False: the descriptor is closed, or no socket. */
bool cookie_of(int fd, uint64_t *cookie);
