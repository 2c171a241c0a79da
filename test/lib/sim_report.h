/* sim_report: what seeds amounted to, as text for people and as one JSON object. Thread: any. */
#ifndef TEST_LIB_SIM_REPORT_H
#define TEST_LIB_SIM_REPORT_H
#include <stdio.h>

#include "lib/sim_fleet.h"

/* The last line is "N seeds, X cluster-hours, Y events, Z violations". */
void sim_report_print(const struct sim_fleet_result *result, FILE *out);
void sim_report_json(const struct sim_fleet_result *result, FILE *out);

#endif
