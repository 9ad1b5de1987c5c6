/*
 * Looks at connections: at their first bytes, which stay unread for whoever serves the connection, at what they have received, and at the
 * descriptor of the event that runs.
 */

#define _GNU_SOURCE
#define NAPI_VERSION 8
#include <errno.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <uv.h>
#include "arguments.h"
#include "connections.h"

/* The traced descriptor whose event runs in this thread; -1: none. */
static _Thread_local int current = -1;
/* What libuv calls for the event of a poll handle, the same function for all of them; NULL until the first is traced. */
static _Thread_local uv__io_cb on_poll = NULL;

/* peek(fd, buffer): copies what can be read, and leaves it unread. Returns the number of bytes, 0 at the end of the input, -1 for nothing or an error. */
static napi_value peek(napi_env env, napi_callback_info info) {
  napi_value values[2] = { NULL, NULL }, result = NULL;
  size_t size = 0;
  void *bytes = NULL;
  int fd;
  if (!with_descriptor(env, info, "peek(fd, buffer): fd must be a descriptor", values, 2, &fd, NULL)) return NULL;
  if (napi_get_buffer_info(env, values[1], &bytes, &size) != napi_ok) return type_error(env, "peek(fd, buffer): buffer must be a Buffer");
  ssize_t got = recv(fd, bytes, size > INT32_MAX ? INT32_MAX : size, MSG_PEEK | MSG_DONTWAIT);
  napi_create_int32(env, got < 0 ? -1 : (int32_t) got, &result);
  return result;
}

/* received(fd): bytes that TCP has received in order on a connection, read or not. Throws the error of the system. */
static napi_value received(napi_env env, napi_callback_info info) {
  napi_value value = NULL, result = NULL;
  double bytes = 0;
  int fd;
  if (!with_descriptor(env, info, "received(fd): fd must be a descriptor", &value, 1, &fd, NULL)) return NULL;
  int error = tcp_received(fd, &bytes);
  if (error != 0) {
    napi_throw_error(env, uv_err_name(uv_translate_sys_error(error)), "received: the descriptor is no TCP connection");
    return NULL;
  }
  napi_create_double(env, bytes, &result);
  return result;
}

bool cookie_of(int fd, uint64_t *cookie) {
  socklen_t size = sizeof *cookie;
  return getsockopt(fd, SOL_SOCKET, SO_COOKIE, cookie, &size) == 0;
}

/* cookie(fd): the number that the kernel gives to the socket and to no later one; -1 for a closed descriptor, or no socket. */
static napi_value cookie(napi_env env, napi_callback_info info) {
  napi_value value = NULL, result = NULL;
  uint64_t number = 0;
  int fd;
  if (!with_descriptor(env, info, "cookie(fd): fd must be a descriptor", &value, 1, &fd, NULL)) return NULL;
  napi_create_double(env, cookie_of(fd, &number) ? (double) number : -1, &result);
  return result;
}

/* Stands between libuv and a traced poll handle, which may be gone afterwards. */
static void on_event(uv_loop_t *loop, uv__io_t *watcher, unsigned int events) {
  int before = current;
  current = watcher->fd;
  on_poll(loop, watcher, events);
  current = before;
}

/* The watcher of a poll handle; NULL for a descriptor that something else watches, or nothing. */
static uv__io_t *poll_watcher(uv_loop_t *loop, int fd) {
  uv__io_t *watcher = (unsigned int) fd < loop->nwatchers ? loop->watchers[fd] : NULL;
  if (watcher == NULL || watcher->fd != fd) return NULL;
  /* Each watcher is a part of its handle, and every other kind of handle has more before its watcher than a poll handle. */
  const uv_poll_t *handle = (const uv_poll_t *) (const void *) ((const char *) watcher - offsetof(uv_poll_t, io_watcher));
  return handle->loop == loop && handle->type == UV_POLL ? watcher : NULL;
}

/*
 * trace(fd): from now on current() names the descriptor during each of its events, until it is closed. uWebSockets.js must have adopted it in
 * this thread. Returns false, and changes nothing, when no poll handle watches it.
 */
static napi_value trace(napi_env env, napi_callback_info info) {
  napi_value value = NULL, result = NULL;
  uv_loop_t *loop = NULL;
  int fd;
  if (!with_descriptor(env, info, "trace(fd): fd must be a descriptor", &value, 1, &fd, NULL)) return NULL;
  uv__io_t *watcher = napi_get_uv_event_loop(env, &loop) == napi_ok ? poll_watcher(loop, fd) : NULL;
  if (watcher != NULL && watcher->cb != on_event) {
    if (on_poll == NULL) on_poll = watcher->cb;
    if (watcher->cb == on_poll) watcher->cb = on_event;
    else watcher = NULL;
  }
  napi_get_boolean(env, watcher != NULL, &result);
  return result;
}

/* current(): the traced descriptor whose event runs; -1: none. */
static napi_value current_descriptor(napi_env env, napi_callback_info info) {
  napi_value result = NULL;
  (void) info;
  napi_create_int32(env, current, &result);
  return result;
}

bool define_connections(napi_env env, napi_value exports) {
  const napi_property_descriptor properties[] = {
    { "peek", NULL, peek, NULL, NULL, NULL, napi_enumerable, NULL },
    { "received", NULL, received, NULL, NULL, NULL, napi_enumerable, NULL },
    { "cookie", NULL, cookie, NULL, NULL, NULL, napi_enumerable, NULL },
    { "trace", NULL, trace, NULL, NULL, NULL, napi_enumerable, NULL },
    { "current", NULL, current_descriptor, NULL, NULL, NULL, napi_enumerable, NULL },
  };
  return napi_define_properties(env, exports, sizeof properties / sizeof *properties, properties) == napi_ok;
}
