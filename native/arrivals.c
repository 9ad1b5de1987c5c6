/*
 * Waits for the first bytes of a descriptor without reading them, and looks at them: whoever serves the connection afterwards reads them.
 * Counts what a connection has received.
 * One callback serves all descriptors of a thread. The linker keeps this code loaded (-z nodelete), because libuv calls end_wait() after the
 * environment has ended.
 */

#define _GNU_SOURCE
#define NAPI_VERSION 8
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>
#include "arguments.h"
#include "arrivals.h"

struct arrivals;

/* A wait for one descriptor. `all` is NULL from its end on. */
typedef struct {
  uv_poll_t poll;
  struct arrivals *all;
  int fd;
} wait;

/* The waits of one environment. */
typedef struct arrivals {
  napi_env env;
  uv_loop_t *loop;
  napi_ref callback;
  napi_async_context context;
  /* by descriptor */
  wait **waits;
  size_t size;
} arrivals;

static void free_wait(uv_handle_t *handle) {
  free(handle->data);
}

/* Ends a wait; the descriptor stays open. */
static void end_wait(wait *each) {
  each->all->waits[each->fd] = NULL;
  each->all = NULL;
  uv_poll_stop(&each->poll);
  uv_close((uv_handle_t *) &each->poll, free_wait);
}

static wait *wait_of(const arrivals *all, int fd) {
  return (size_t) fd < all->size ? all->waits[fd] : NULL;
}

/* Whoever has adopted a descriptor waits for it. */
static bool is_adopted(const uv_loop_t *loop, int fd) {
  return (unsigned int) fd < loop->nwatchers && loop->watchers[fd] != NULL;
}

/* Bytes, the end of the input, or an error have come. */
static void on_event(uv_poll_t *poll, int status, int events) {
  wait *each = poll->data;
  arrivals *all = each->all;
  napi_env env = all->env;
  napi_handle_scope scope;
  napi_value callback = NULL, fd = NULL, global = NULL, error = NULL;
  int number = each->fd;
  (void) status;
  (void) events;
  end_wait(each);
  if (napi_open_handle_scope(env, &scope) != napi_ok) {
    close(number);
    return;
  }
  napi_get_reference_value(env, all->callback, &callback);
  napi_get_global(env, &global);
  napi_create_int32(env, number, &fd);
  napi_status called = napi_make_callback(env, all->context, global, callback, 1, &fd, NULL);
  /* The thread ends, and the callback did not run: nobody else knows the descriptor any more. */
  if (called != napi_ok && !is_adopted(all->loop, number)) close(number);
  if (called == napi_pending_exception && napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
  napi_close_handle_scope(env, scope);
}

static void end_environment(void *arg) {
  arrivals *all = arg;
  for (size_t fd = 0; fd < all->size; fd++) {
    if (all->waits[fd] == NULL) continue;
    end_wait(all->waits[fd]);
    /* Nobody else knows the descriptor any more. */
    close((int) fd);
  }
  free(all->waits);
  free(all);
}

/* onArrival(callback): callback(fd) is called once for each await(fd), when there is something to read, the input has ended, or an error. */
static napi_value on_arrival(napi_env env, napi_callback_info info) {
  napi_value callback = NULL, name = NULL;
  napi_valuetype type;
  size_t count = 1;
  arrivals *all;
  if (napi_get_cb_info(env, info, &count, &callback, NULL, (void **) &all) != napi_ok) return NULL;
  if (count < 1 || napi_typeof(env, callback, &type) != napi_ok || type != napi_function) {
    return type_error(env, "onArrival(callback): callback must be a function");
  }
  if (all->callback != NULL) return type_error(env, "onArrival(callback): there is a callback already");
  if (napi_create_string_latin1(env, "fluxmq:arrival", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_async_init(env, NULL, name, &all->context) != napi_ok || napi_create_reference(env, callback, 1, &all->callback) != napi_ok) {
    napi_throw_error(env, "ERR_NO_CALLBACK", "onArrival: this thread takes no callback");
  }
  return NULL;
}

static bool make_room(arrivals *all, size_t fd) {
  if (fd < all->size) return true;
  size_t size = fd * 2 + 64;
  wait **waits = realloc(all->waits, size * sizeof *waits);
  if (waits == NULL) return false;
  memset(waits + all->size, 0, (size - all->size) * sizeof *waits);
  all->waits = waits;
  all->size = size;
  return true;
}

/* await(fd): begins to wait. The descriptor must be a socket that nothing else of this thread waits for. Throws the error of the system. */
static napi_value await_fd(napi_env env, napi_callback_info info) {
  napi_value value = NULL;
  arrivals *all;
  int fd;
  if (!with_descriptor(env, info, "await(fd): fd must be a descriptor", &value, 1, &fd, (void **) &all)) return NULL;
  if (all->callback == NULL) return type_error(env, "await(fd): onArrival() must be called first");
  if (wait_of(all, fd) != NULL) return type_error(env, "await(fd): there is a wait for it already");
  /* The table is as long as the number of the descriptor, which only the system bounds. */
  bool is_open = fcntl(fd, F_GETFD) >= 0;
  wait *each = is_open && make_room(all, (size_t) fd) ? calloc(1, sizeof *each) : NULL;
  int error = !is_open ? UV_EBADF : each == NULL ? UV_ENOMEM : uv_poll_init(all->loop, &each->poll, fd);
  if (error != 0) {
    free(each);
    char name[32];
    napi_throw_error(env, uv_err_name_r(error, name, sizeof name), "await: the descriptor cannot be waited for");
    return NULL;
  }
  each->poll.data = each;
  each->all = all;
  each->fd = fd;
  all->waits[fd] = each;
  uv_poll_start(&each->poll, UV_READABLE | UV_DISCONNECT, on_event);
  return NULL;
}

/* forget(fd): ends the wait, if there is one; the callback is not called. The descriptor stays open. */
static napi_value forget(napi_env env, napi_callback_info info) {
  napi_value value = NULL;
  arrivals *all;
  int fd;
  if (!with_descriptor(env, info, "forget(fd): fd must be a descriptor", &value, 1, &fd, (void **) &all)) return NULL;
  wait *each = wait_of(all, fd);
  if (each != NULL) end_wait(each);
  return NULL;
}

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

bool define_arrivals(napi_env env, napi_value exports) {
  arrivals *all = calloc(1, sizeof *all);
  if (all == NULL) {
    napi_throw_error(env, "ENOMEM", "guard: no memory");
    return false;
  }
  all->env = env;
  if (napi_get_uv_event_loop(env, &all->loop) != napi_ok || napi_add_env_cleanup_hook(env, end_environment, all) != napi_ok) {
    free(all);
    napi_throw_error(env, "ERR_NO_HOOK", "guard: this thread takes no clean-up hook");
    return false;
  }
  const napi_property_descriptor properties[] = {
    { "onArrival", NULL, on_arrival, NULL, NULL, NULL, napi_enumerable, all },
    { "await", NULL, await_fd, NULL, NULL, NULL, napi_enumerable, all },
    { "forget", NULL, forget, NULL, NULL, NULL, napi_enumerable, all },
    { "peek", NULL, peek, NULL, NULL, NULL, napi_enumerable, NULL },
    { "received", NULL, received, NULL, NULL, NULL, napi_enumerable, NULL },
  };
  return napi_define_properties(env, exports, sizeof properties / sizeof *properties, properties) == napi_ok;
}
