/*
 * The functions of keywright.h on a kw_context, as they run under one configuration: calls.c gives them a view of the context, so that none sees
 * a reload in its middle. Contracts are in keywright.h.
 */
#ifndef KEYWRIGHT_CERTIFICATE_CALLS_H
#define KEYWRIGHT_CERTIFICATE_CALLS_H

#include "certificate/manager.h"

KW_MUST_USE kw_status manager_state(kw_context *context, kw_state **state, kw_error *error);
KW_MUST_USE kw_status manager_create(kw_context *context, const kw_certificate_template *given, kw_event_callback event,
                                     void *user, kw_error *error);
/* The same for an RSA key that is certified for PSS alone, as the SubjectPublicKeyInfo `like` says; empty: as manager_create. */
KW_MUST_USE kw_status manager_create_like(kw_context *context, const kw_certificate_template *given, kw_input like,
                                          kw_event_callback event, void *user, kw_error *error);
KW_MUST_USE kw_status manager_request(kw_context *context, const char *address, kw_bytes *request, kw_error *error);
KW_MUST_USE kw_status manager_certificates(kw_context *context, const kw_certificate_filter *given,
                                           kw_certificate_list **list, kw_error *error);
KW_MUST_USE kw_status manager_pem(kw_context *context, const char *address, kw_bytes *pem, kw_error *error);
KW_MUST_USE kw_status manager_text(kw_context *context, const char *address, kw_bytes *text, kw_error *error);
KW_MUST_USE kw_status manager_reference(kw_context *context, const char *address, kw_bytes *pem, kw_error *error);
KW_MUST_USE kw_status manager_retire(kw_context *context, const char *address, kw_event_callback event, void *user,
                                     kw_error *error);
KW_MUST_USE kw_status manager_delete(kw_context *context, const char *address, bool force, kw_error *error);
KW_MUST_USE kw_status manager_transfer(kw_context *context, const kw_transfer_options *given, kw_event_callback event,
                                       void *user, kw_error *error);
KW_MUST_USE kw_status manager_rotate(kw_context *context, const kw_rotate_options *given, kw_event_callback event,
                                     void *user, kw_error *error);
KW_MUST_USE kw_status manager_store_keys(kw_context *context, const char *store_name, kw_store_key_list **list,
                                         kw_error *error);
KW_MUST_USE kw_status manager_adopt(kw_context *context, const kw_adopt_options *given, kw_event_callback event,
                                    void *user, kw_error *error);
KW_MUST_USE kw_status manager_export(kw_context *context, const kw_export_options *given, kw_event_callback event,
                                     void *user, kw_error *error);
KW_MUST_USE kw_status manager_import(kw_context *context, const kw_import_options *given, kw_event_callback event,
                                     void *user, kw_error *error);
KW_MUST_USE kw_status manager_key_open(kw_context *context, const char *address, kw_key **key, kw_error *error);
KW_MUST_USE kw_status manager_key_open_public(kw_context *context, const char *address, kw_key **key, kw_error *error);
KW_MUST_USE kw_status manager_subkey_get(kw_context *context, const struct handle_name *name, kw_subkey **subkey,
                                         kw_error *error);
KW_MUST_USE kw_status manager_subkey_derive(kw_context *context, const kw_derivation *given, unsigned *version_used,
                                            kw_output *bytes, kw_error *error);
KW_MUST_USE kw_status manager_reseal(kw_context *context, const kw_reseal_options *given, kw_reseal_result *result,
                                     kw_error *error);
KW_MUST_USE kw_status manager_cms_encrypt(kw_context *context, const char *address, kw_input plaintext, kw_bytes *cms,
                                          kw_error *error);
KW_MUST_USE kw_status manager_cms_decrypt(kw_context *context, const char *address, kw_input cms, kw_bytes *plaintext,
                                          kw_error *error);
KW_MUST_USE kw_status manager_licence_request(kw_context *context, kw_bytes *request, kw_error *error);
KW_MUST_USE kw_status manager_licence_verify(kw_context *context, kw_input content, kw_licence **licence,
                                             kw_error *error);

#endif
