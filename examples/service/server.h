#ifndef SERVER_H
#define SERVER_H

#include "models.h"
#include "settings.h"

typedef struct server server;

/* NULL after a line on standard error. The port that is listened on is printed there. */
server *server_start(const settings *s, const models *m);

/* Takes no new connection, and answers new requests on old ones with 503. */
void server_drain(server *s);

/* Requests that have begun and are not answered yet. */
unsigned server_running(server *s);

void server_stop(server *s);

#endif
