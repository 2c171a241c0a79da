/* explore_plan: see explore_plan.h. Small scopes are gone through whole, or as deep as the time allows; big ones to their end in a
 * band of states that the seed draws from each depth. A rule that takes many steps to break needs a narrow scope. */
#include "sim/explore_plan.h"

const struct explore_plan explore_plan[] = {
    {.name = "one node", .share = 1,
     .scope = {.nodes = 1, .voters = 1, .terms = 3, .proposals = 4, .crashes = 2, .beats = 1, .reads = 1, .flight = 4, .appends = 3,
               .batch = 8}},
    {.name = "two nodes, two terms, a crash", .share = 5,
     .scope = {.nodes = 2, .voters = 2, .terms = 2, .proposals = 1, .crashes = 1, .beats = 1, .reads = 1, .flight = 4, .appends = 2,
               .batch = 8}},
    {.name = "two nodes, three terms, four proposals, two crashes", .share = 2, .width = 50000,
     .scope = {.nodes = 2, .voters = 2, .terms = 3, .proposals = 4, .crashes = 2, .duplicates = 2, .beats = 2, .reads = 1,
               .flight = 5, .appends = 3, .batch = 8}},
    {.name = "two nodes, pre-vote and check-quorum", .share = 2, .width = 50000,
     .scope = {.nodes = 2, .voters = 2, .terms = 3, .proposals = 2, .crashes = 1, .duplicates = 1, .beats = 2, .ages = 2, .reads = 1,
               .flight = 5, .appends = 2, .batch = 8, .pre_vote = true, .check_quorum = true}},
    {.name = "three nodes, slow disks", .share = 4,
     .scope = {.nodes = 3, .voters = 3, .terms = 2, .duplicates = 1, .flight = 5, .appends = 3, .batch = 8}},
    {.name = "three nodes, a read", .share = 4, .width = 100000,
     .scope = {.nodes = 3, .voters = 3, .terms = 2, .beats = 1, .reads = 1, .flight = 5, .appends = 0, .batch = 8}},
    {.name = "three nodes, three terms, entries one by one", .share = 3, .width = 50000,
     .scope = {.nodes = 3, .voters = 3, .terms = 3, .proposals = 1, .duplicates = 1, .flight = 5, .appends = 0, .batch = 1}},
    {.name = "three nodes, three terms, three proposals, two crashes", .share = 3, .width = 50000,
     .scope = {.nodes = 3, .voters = 3, .terms = 3, .proposals = 3, .crashes = 2, .duplicates = 1, .beats = 1, .flight = 6,
               .appends = 2, .batch = 8}},
    {.name = "three nodes, a configuration changes", .share = 3, .width = 50000,
     .scope = {.nodes = 3, .voters = 3, .terms = 2, .proposals = 1, .confs = 1, .crashes = 1, .flight = 6, .appends = 1, .batch = 8}},
    {.name = "two voters and a learner, two changes", .share = 2, .width = 50000,
     .scope = {.nodes = 3, .voters = 2, .terms = 2, .confs = 2, .flight = 6, .appends = 1, .batch = 8}},
    {.name = "two voters and a learner, a change", .share = 2, .width = 100000,
     .scope = {.nodes = 3, .voters = 2, .terms = 2, .confs = 1, .flight = 5, .appends = 1, .batch = 8}},
    {.name = "three nodes, pre-vote and check-quorum", .share = 2, .width = 50000,
     .scope = {.nodes = 3, .voters = 3, .terms = 3, .proposals = 2, .crashes = 1, .duplicates = 1, .beats = 2, .ages = 1, .reads = 1,
               .flight = 6, .appends = 1, .batch = 8, .pre_vote = true, .check_quorum = true}},
};
const uint32_t explore_plan_count = sizeof explore_plan / sizeof explore_plan[0];
