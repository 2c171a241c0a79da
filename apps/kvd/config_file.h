/* config_file: the whole configuration out of one file: etcd's YAML, or config.env, which describes all members of a cluster on one machine.
 * Which of the two it is says its name (.env, .yml, .yaml, .json), else its first line.
 *
 *   YAML        keys are the flags' names; client-transport-security, peer-transport-security and socket-options are maps. Durations are
 *               numbers of nanoseconds, or texts. An empty value is the default. A list is read as its items with commas between. No
 *               anchors, no tags, one document. Source: etcd.conf.yml.sample and the JSON names of embed.Config.
 *   config.env  NAME=value, a line each; # begins a comment; a value with blanks stands in quotes, in "..." with \" and \\. Nothing is
 *               expanded. Any setting that is the same for all members is SERVER_ and its name.
 *
 * Every mistake is noted with its line, and reading goes on behind it, but for a YAML file that cannot be parsed any further.
 * Thread: one. Blocking. Limits: 256 KiB, YAML nested four deep.
 */
#ifndef KVD_CONFIG_FILE_H
#define KVD_CONFIG_FILE_H
#include "base/slice.h"
#include "options.h"

#define CONFIG_FILE_BYTES_MAX (256u << 10)

/* Reads options->file into options, with the settings of --node if it is a config.env. */
void config_file_read(struct options *options);
/* The same of bytes; options->file_kind says what they are. */
void config_file_parse(struct options *options, struct slice bytes);

/* The two readers. */
void config_yaml_parse(struct options *options, struct slice bytes);
void config_env_parse(struct options *options, struct slice bytes);

#endif
