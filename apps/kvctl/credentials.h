/* credentials: who we are to the server: --user NAME[:PASSWORD] and --password, or --auth-jwt-token, as etcdctl takes them, and passwords that are asked for.
 * Owner: what --user is split into is the ctl's, until credentials_free. Thread: main. Limits: a password of CREDENTIALS_PASSWORD_MAX - 2 bytes.
 * Source: etcdctl. */
#ifndef KVCTL_CREDENTIALS_H
#define KVCTL_CREDENTIALS_H
#include "ctl.h"

#define CREDENTIALS_PASSWORD_MAX 1024

/* From then on globals.user and globals.password are both there, or there is no user; asks for a password that is missing. A token of one's own
 * goes without them. Again, it does nothing. Fails with a message. */
enum ctl_exit credentials_prepare(struct ctl *ctl);
void credentials_free(struct ctl *ctl);
/* A line of standard input without its end; on a terminal behind the prompt, without echo. Fails with a message. */
enum ctl_exit credentials_read(const char *prompt, char out_text[CREDENTIALS_PASSWORD_MAX]);

#endif
