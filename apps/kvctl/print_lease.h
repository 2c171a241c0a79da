/* print_lease: the Lease service's responses on standard output in the format of -w, as etcdctl prints them.
 * Owner: nothing is kept. Thread: main. Source: etcdctl's printers. */
#ifndef KVCTL_PRINT_LEASE_H
#define KVCTL_PRINT_LEASE_H
#include "ctl.h"
#include "etcdserverpb/rpc.pb-c.h"

/* CTL_BAD_FEATURE, with a message: the format cannot show this. */
enum ctl_exit print_lease_grant(const struct ctl *ctl, const Etcdserverpb__LeaseGrantResponse *response);
enum ctl_exit print_lease_revoke(const struct ctl *ctl, int64_t id, const Etcdserverpb__LeaseRevokeResponse *response);
/* With its keys, if they were asked for. */
enum ctl_exit print_lease_time_to_live(const struct ctl *ctl, const Etcdserverpb__LeaseTimeToLiveResponse *response, bool has_keys);
enum ctl_exit print_lease_keep_alive(const struct ctl *ctl, const Etcdserverpb__LeaseKeepAliveResponse *response);
enum ctl_exit print_lease_list(const struct ctl *ctl, const Etcdserverpb__LeaseLeasesResponse *response);

#endif
