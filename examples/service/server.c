#include "server.h"

#include "embed.h"
#include "metrics.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

struct server {
    const settings *settings;
    const models *models;
    struct MHD_Daemon *daemon;
    atomic_uint running;   /* requests */
    atomic_uint embedding; /* those to /embed, whose bodies take memory */
    atomic_bool draining;
};

/* One request, from its headers to its answer. */
typedef struct request {
    server *server;
    char line[128]; /* method and path, for the log */
    bool embeds, too_large;
    char *body;
    size_t size, capacity;
    double began;
    unsigned status; /* of the answer; 0: none was given */
    embed_log log;
} request;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- Answers ------------------------------------------------------------------------------ */

static enum MHD_Result send_text(request *r, struct MHD_Connection *connection, unsigned status,
                                 char *text, const char *type, const char *header,
                                 const char *value)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(text);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    if (header)
        MHD_add_response_header(response, header, value);
    if (atomic_load(&r->server->draining))
        MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    enum MHD_Result sent = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    if (sent == MHD_YES)
        r->status = status;
    return sent;
}

/* Takes the answer over. 9 digits give every float32 back. */
static enum MHD_Result send_json(request *r, struct MHD_Connection *connection, unsigned status,
                                 json_t *answer, const char *header, const char *value)
{
    char *text = json_dumps(answer, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(answer);
    if (!text) {
        status = MHD_HTTP_SERVICE_UNAVAILABLE;
        text = strdup("{\"error\":{\"message\":\"no memory for the answer\",\"status\":503}}");
    }
    return text ? send_text(r, connection, status, text, "application/json", header, value)
                : MHD_NO;
}

static enum MHD_Result send_error(request *r, struct MHD_Connection *connection, unsigned status,
                                  const char *message, const char *header, const char *value)
{
    return send_json(r, connection, status, error_answer(status, message), header, value);
}

static enum MHD_Result send_too_large(request *r, struct MHD_Connection *connection)
{
    char message[96];
    snprintf(message, sizeof message, "the body has more than %zu bytes",
             r->server->settings->max_body);
    return send_error(r, connection, MHD_HTTP_CONTENT_TOO_LARGE, message,
                      MHD_HTTP_HEADER_CONNECTION, "close");
}

static enum MHD_Result send_metrics(request *r, struct MHD_Connection *connection)
{
    char *text = metrics_text(r->server->models->engine);
    if (!text)
        return send_error(r, connection, MHD_HTTP_SERVICE_UNAVAILABLE, "no memory", NULL, NULL);
    return send_text(r, connection, MHD_HTTP_OK, text, "text/plain; version=0.0.4; charset=utf-8",
                     NULL, NULL);
}

static enum MHD_Result send_health(request *r, struct MHD_Connection *connection)
{
    unsigned status;
    json_t *health = models_health(r->server->models, &status);
    return send_json(r, connection, status, health, NULL, NULL);
}

static enum MHD_Result send_embedding(request *r, struct MHD_Connection *connection)
{
    unsigned status;
    json_t *answer = embed_answer(r->server->models, r->body, r->size,
                                  r->server->settings->max_texts, &status, &r->log);
    return send_json(r, connection, status, answer,
                     status == 503 ? MHD_HTTP_HEADER_RETRY_AFTER : NULL, "1");
}

/* ---- Requests ----------------------------------------------------------------------------- */

static request *request_new(server *s, const char *url, const char *method)
{
    request *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->server = s;
    r->began = now();
    r->embeds = strcmp(url, "/embed") == 0 && strcmp(method, "POST") == 0;
    snprintf(r->line, sizeof r->line, "%s %s", method, url);
    for (char *c = r->line; *c; c++)
        if (*c < ' ' || *c > '~')
            *c = '?';
    atomic_fetch_add(&s->running, 1);
    return r;
}

static void log_request(const request *r)
{
    char embedded[256] = "";
    if (r->log.model)
        snprintf(embedded, sizeof embedded, " model=%s texts=%zu tokens=%llu", r->log.model,
                 r->log.texts, r->log.tokens);
    fprintf(stderr, "%s %u %.1fms bytes=%zu%s\n", r->line, r->status, (now() - r->began) * 1e3,
            r->size, embedded);
}

static void ended(void *user, struct MHD_Connection *connection, void **context,
                  enum MHD_RequestTerminationCode why)
{
    (void)connection, (void)why;
    server *s = user;
    request *r = *context;
    if (!r)
        return;
    log_request(r);
    if (r->embeds)
        atomic_fetch_sub(&s->embedding, 1);
    free(r->body);
    free(r);
    *context = NULL;
    atomic_fetch_sub(&s->running, 1);
}

static bool is_read(const char *method)
{
    return strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
}

static bool announces_too_much(const request *r, struct MHD_Connection *connection)
{
    const char *length =
        MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return length && strtoull(length, NULL, 10) > r->server->settings->max_body;
}

static enum MHD_Result count_length(void *count, enum MHD_ValueKind kind, const char *key,
                                    const char *value)
{
    (void)kind, (void)value;
    *(unsigned *)count += strcasecmp(key, MHD_HTTP_HEADER_CONTENT_LENGTH) == 0 ||
                          strcasecmp(key, MHD_HTTP_HEADER_TRANSFER_ENCODING) == 0;
    return MHD_YES;
}

/* A proxy in front that takes another length than we do would see another next request in the rest. */
static bool has_two_lengths(struct MHD_Connection *connection)
{
    unsigned count = 0;
    MHD_get_connection_values(connection, MHD_HEADER_KIND, count_length, &count);
    return count > 1;
}

/* With its headers. What can be refused now is refused before the body comes. */
static enum MHD_Result begin(request *r, struct MHD_Connection *connection)
{
    server *s = r->server;
    if (r->embeds && atomic_fetch_add(&s->embedding, 1) >= s->settings->max_running)
        return send_error(r, connection, MHD_HTTP_TOO_MANY_REQUESTS,
                          "too many requests are running", MHD_HTTP_HEADER_RETRY_AFTER, "1");
    if (atomic_load(&s->draining))
        return send_error(r, connection, MHD_HTTP_SERVICE_UNAVAILABLE, "the service is stopping",
                          NULL, NULL);
    if (has_two_lengths(connection))
        return send_error(r, connection, MHD_HTTP_BAD_REQUEST,
                          "the body has more than one Content-Length or Transfer-Encoding",
                          MHD_HTTP_HEADER_CONNECTION, "close");
    if (announces_too_much(r, connection))
        return send_too_large(r, connection);
    return MHD_YES;
}

/* An answer cannot be given before a body has ended, so too large a one is read on, but only so far. */
static enum MHD_Result take(request *r, const char *data, size_t *size)
{
    const settings *s = r->server->settings;
    size_t more = *size;
    if (now() - r->began > s->timeout || r->size > 4 * s->max_body)
        return MHD_NO;
    *size = 0;
    r->size += more;
    r->too_large |= !r->embeds || r->size > s->max_body;
    if (r->too_large)
        return MHD_YES;
    if (r->size > r->capacity) {
        size_t capacity = r->size + r->capacity;
        char *body = realloc(r->body, capacity);
        if (!body)
            return MHD_NO;
        r->body = body;
        r->capacity = capacity;
    }
    memcpy(r->body + r->size - more, data, more);
    return MHD_YES;
}

static enum MHD_Result answer(request *r, struct MHD_Connection *connection, const char *url,
                              const char *method)
{
    if (r->embeds)
        return r->too_large ? send_too_large(r, connection) : send_embedding(r, connection);
    if (strcmp(url, "/embed") == 0)
        return send_error(r, connection, MHD_HTTP_METHOD_NOT_ALLOWED, "/embed takes POST",
                          MHD_HTTP_HEADER_ALLOW, "POST");
    bool health = strcmp(url, "/health") == 0;
    if (!health && strcmp(url, "/metrics") != 0)
        return send_error(r, connection, MHD_HTTP_NOT_FOUND,
                          "there is nothing here: POST /embed, GET /health, GET /metrics", NULL,
                          NULL);
    if (!is_read(method))
        return send_error(r, connection, MHD_HTTP_METHOD_NOT_ALLOWED, "this takes GET",
                          MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    return health ? send_health(r, connection) : send_metrics(r, connection);
}

static enum MHD_Result handle(void *user, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *size, void **context)
{
    (void)version;
    request *r = *context;
    if (!r) {
        *context = r = request_new(user, url, method);
        return r ? begin(r, connection) : MHD_NO;
    }
    return *size > 0 ? take(r, data, size) : answer(r, connection, url, method);
}

/* ---- Server ------------------------------------------------------------------------------- */

typedef union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} address;

static bool read_address(const settings *s, address *a)
{
    *a = (address){.v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)s->port)}};
    if (inet_pton(AF_INET, s->address, &a->v4.sin_addr) == 1)
        return true;
    *a = (address){.v6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)s->port)}};
    return inet_pton(AF_INET6, s->address, &a->v6.sin6_addr) == 1;
}

/* A thread for each connection: a client that is slow holds up nobody else. */
static struct MHD_Daemon *listen_on(server *s, const address *a)
{
    unsigned flags = MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL |
                     MHD_USE_THREAD_PER_CONNECTION | MHD_USE_ITC;
    if (a->any.sa_family == AF_INET6)
        flags |= MHD_USE_IPv6;
    return MHD_start_daemon(flags, 0, NULL, NULL, handle, s, MHD_OPTION_SOCK_ADDR, &a->any,
                            MHD_OPTION_NOTIFY_COMPLETED, ended, s, MHD_OPTION_CONNECTION_TIMEOUT,
                            s->settings->timeout, MHD_OPTION_CONNECTION_LIMIT,
                            s->settings->max_running + 64, MHD_OPTION_END);
}

server *server_start(const settings *wanted, const models *m)
{
    address a;
    if (!read_address(wanted, &a)) {
        fprintf(stderr, "CITADEL_SERVICE_ADDRESS is '%s', expected an IPv4 or IPv6 address\n",
                wanted->address);
        return NULL;
    }
    server *s = calloc(1, sizeof *s);
    if (!s)
        return NULL;
    s->settings = wanted;
    s->models = m;
    s->daemon = listen_on(s, &a);
    if (!s->daemon) {
        fprintf(stderr, "cannot listen on %s, port %u\n", wanted->address, wanted->port);
        free(s);
        return NULL;
    }
    fprintf(stderr, "listening on %s, port %u\n", wanted->address,
            (unsigned)MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
    return s;
}

void server_drain(server *s)
{
    atomic_store(&s->draining, true);
    close(MHD_quiesce_daemon(s->daemon));
}

unsigned server_running(server *s)
{
    return atomic_load(&s->running);
}

void server_stop(server *s)
{
    MHD_stop_daemon(s->daemon);
    free(s);
}
