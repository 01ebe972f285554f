#include "base/acl.h"

#include "base/wide.h"

#include <aclapi.h>
#include <sddl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <windows.h>

/* The service that installs Windows and its updates; it has no number among the well-known ones. */
static const wchar_t installer[] = L"S-1-5-80-956008885-3418522649-1831038044-1853292631-2271478464";

static const DWORD uses[] = {
    [ACL_READING] = FILE_READ_DATA | GENERIC_READ | GENERIC_ALL,
    [ACL_CHANGING] = FILE_WRITE_DATA | FILE_APPEND_DATA | FILE_DELETE_CHILD | DELETE | WRITE_DAC | WRITE_OWNER |
                     GENERIC_WRITE | GENERIC_ALL,
};

/* ---- Who ---- */

static bool is_known(PSID sid, WELL_KNOWN_SID_TYPE type)
{
    return IsWellKnownSid(sid, type) != 0;
}

static bool is_installer(PSID sid)
{
    wchar_t *text = NULL;
    const bool is = ConvertSidToStringSidW(sid, &text) && wcscmp(text, installer) == 0;
    LocalFree(text);
    return is;
}

/* The user of the process's token, or NULL; to be freed. */
static TOKEN_USER *process_user(void)
{
    HANDLE token = NULL;
    DWORD size = 0;
    TOKEN_USER *user = NULL;
    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token))
        return NULL;
    GetTokenInformation(token, TokenUser, NULL, 0, &size);
    user = size == 0 ? NULL : malloc(size);
    if (user != NULL && !GetTokenInformation(token, TokenUser, user, size, &size)) {
        free(user);
        user = NULL;
    }
    CloseHandle(token);
    return user;
}

static bool is_trusted(PSID sid, const TOKEN_USER *user)
{
    return is_known(sid, WinLocalSystemSid) || is_known(sid, WinBuiltinAdministratorsSid) ||
           is_known(sid, WinCreatorOwnerRightsSid) || is_installer(sid) ||
           (user != NULL && EqualSid(sid, user->User.Sid));
}

static bool is_everybody(PSID sid)
{
    static const WELL_KNOWN_SID_TYPE types[] = {WinWorldSid,        WinAuthenticatedUserSid, WinBuiltinUsersSid,
                                                WinInteractiveSid,  WinNetworkSid,           WinAnonymousSid,
                                                WinBuiltinGuestsSid};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (is_known(sid, types[i]))
            return true;
    }
    return false;
}

/* Its number in text where it has no name here. */
static void name_of(PSID sid, char text[ACL_NAME_SIZE])
{
    wchar_t name[128] = L"", domain[128] = L"", joined[260] = L"", *number = NULL;
    DWORD name_size = 128, domain_size = 128;
    SID_NAME_USE use;
    if (LookupAccountSidW(NULL, sid, name, &name_size, domain, &domain_size, &use))
        swprintf(joined, sizeof(joined) / sizeof(joined[0]), L"%ls%ls%ls", domain, domain[0] == L'\0' ? L"" : L"\\",
                 name);
    else if (ConvertSidToStringSidW(sid, &number))
        swprintf(joined, sizeof(joined) / sizeof(joined[0]), L"%ls", number);
    LocalFree(number);
    char *narrow = wide_to(joined);
    snprintf(text, ACL_NAME_SIZE, "%s", narrow == NULL || narrow[0] == '\0' ? "unknown" : narrow);
    free(narrow);
}

void acl_user(char name[ACL_NAME_SIZE])
{
    TOKEN_USER *user = process_user();
    if (user == NULL)
        snprintf(name, ACL_NAME_SIZE, "unknown");
    else
        name_of(user->User.Sid, name);
    free(user);
}

/* ---- Lists ---- */

/* The one whom entry `index` gives something, and what; NULL: it gives nothing. */
static PSID allowed(PACL list, DWORD index, bool inherited_only_too, DWORD *mask)
{
    void *entry = NULL;
    if (!GetAce(list, index, &entry))
        return NULL;
    const ACE_HEADER *header = entry;
    if ((header->AceFlags & INHERIT_ONLY_ACE) != 0 && !inherited_only_too)
        return NULL;
    /* The others that allow are for directory services. */
    if (header->AceType != ACCESS_ALLOWED_ACE_TYPE && header->AceType != ACCESS_ALLOWED_CALLBACK_ACE_TYPE)
        return NULL;
    ACCESS_ALLOWED_ACE *given = entry;
    *mask = given->Mask;
    return &given->SidStart;
}

uint32_t acl_examine(const wchar_t *path, enum acl_use use, struct acl_finding *finding)
{
    PSECURITY_DESCRIPTOR descriptor = NULL;
    PSID owner = NULL;
    PACL list = NULL;
    const DWORD number = GetNamedSecurityInfoW((wchar_t *)(uintptr_t)path, SE_FILE_OBJECT,
                                               OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION, &owner, NULL,
                                               &list, NULL, &descriptor);
    if (number != ERROR_SUCCESS)
        return number;
    TOKEN_USER *user = process_user();
    *finding = (struct acl_finding){.owner_trusted = owner != NULL && is_trusted(owner, user)};
    if (owner != NULL)
        name_of(owner, finding->owner);
    /* No list at all gives everybody everything. */
    finding->others = list == NULL;
    snprintf(finding->other, sizeof(finding->other), "everybody");
    for (DWORD i = 0; list != NULL && i < list->AceCount && !finding->others; i++) {
        DWORD mask = 0;
        const PSID sid = allowed(list, i, false, &mask);
        if (sid == NULL || (mask & uses[use]) == 0 || is_trusted(sid, user) || (owner != NULL && EqualSid(sid, owner)))
            continue;
        finding->others = true;
        name_of(sid, finding->other);
    }
    free(user);
    LocalFree(descriptor);
    return ERROR_SUCCESS;
}

bool acl_is_open(const wchar_t *directory)
{
    PSECURITY_DESCRIPTOR descriptor = NULL;
    PACL list = NULL;
    bool open = false;
    if (GetNamedSecurityInfoW((wchar_t *)(uintptr_t)directory, SE_FILE_OBJECT, DACL_SECURITY_INFORMATION, NULL, NULL,
                              &list, NULL, &descriptor) != ERROR_SUCCESS)
        return true;
    open = list == NULL;
    for (DWORD i = 0; list != NULL && i < list->AceCount && !open; i++) {
        DWORD mask = 0;
        const PSID sid = allowed(list, i, true, &mask);
        open = sid != NULL && mask != 0 && is_everybody(sid);
    }
    LocalFree(descriptor);
    return open;
}

void *acl_private(bool directory)
{
    PSECURITY_DESCRIPTOR descriptor = NULL;
    wchar_t *number = NULL, text[512];
    TOKEN_USER *user = process_user();
    const wchar_t *inherited = directory ? L"OICI" : L"";
    if (user != NULL && ConvertSidToStringSidW(user->User.Sid, &number)) {
        swprintf(text, sizeof(text) / sizeof(text[0]), L"D:P(A;%ls;FA;;;SY)(A;%ls;FA;;;BA)(A;%ls;FA;;;%ls)", inherited,
                 inherited, inherited, number);
        if (!ConvertStringSecurityDescriptorToSecurityDescriptorW(text, SDDL_REVISION_1, &descriptor, NULL))
            descriptor = NULL;
    }
    LocalFree(number);
    free(user);
    return descriptor;
}

void acl_free(void *descriptor)
{
    LocalFree(descriptor);
}
