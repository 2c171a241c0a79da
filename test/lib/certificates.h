/* certificates: certificates and keys for tests, made with OpenSSL, as PEM in files. */
#ifndef TEST_LIB_CERTIFICATES_H
#define TEST_LIB_CERTIFICATES_H

/* A certificate that certifies itself, for the name, and its key, each in a file; the key with a password if there is one. Checked inside. */
void certificates_make(const char *name, long serial, const char *certificate_path, const char *key_path, const char *password);
/* Puts the text (of the file; NULL = none) and then the other into a file. */
void certificates_join(const char *path, const char *first_path, const char *text);

#endif
