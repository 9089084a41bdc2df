"""Who may do what: one table, read by the doors, the templates and the roles page (product.md §3.17, decision 10)."""

from django.db import models


class Role(models.TextChoices):
    OWNER = "owner", "Agency Owner"
    ADMIN = "admin", "Agency Admin"
    MEMBER = "member", "Agency Member"
    SUB_ACCOUNT_ADMIN = "sub_account_admin", "Subaccount Admin"
    SUB_ACCOUNT_MEMBER = "sub_account_member", "Subaccount Member"


AGENCY_ROLES = (Role.OWNER, Role.ADMIN, Role.MEMBER)
CLIENT_ROLES = (Role.SUB_ACCOUNT_ADMIN, Role.SUB_ACCOUNT_MEMBER)


class Can(models.TextChoices):
    # In the agency's dashboard
    SEE_AGENCY = "see_agency", "See the agency's home and its sub-accounts"
    SEE_CREDITS = "see_credits", "See the credit balance, the statement and usage"
    OPEN_SUB_ACCOUNTS = "open_sub_accounts", "Open and edit sub-accounts"
    SUSPEND_SUB_ACCOUNTS = "suspend_sub_accounts", "Suspend and restore sub-accounts"
    ENTER_SUB_ACCOUNTS = "enter_sub_accounts", "Enter the sub-accounts they are allowed to"
    MOVE_CREDITS = "move_credits", "Move and adjust credits"
    MANAGE_TEAM = "manage_team", "Manage the team"
    MANAGE_AGENCY = "manage_agency", "Change the agency's settings"
    MANAGE_PLAN = "manage_plan", "Change the agency's plan and billing"
    SEE_AUDIT = "see_audit", "See the audit log"
    MANAGE_API = "manage_api", "Manage API keys and webhooks"
    TRANSFER_OWNERSHIP = "transfer_ownership", "Transfer ownership or delete the agency"
    # In a workspace
    SEE_WORKSPACE = "see_workspace", "See conversations, contacts, chatbots and usage"
    WORK_IN_WORKSPACE = "work_in_workspace", "Change chatbots, answer conversations, import"
    MANAGE_WORKSPACE = "manage_workspace", "Change the workspace's settings"
    BUY = "buy", "Buy credits and manage cards"


_MEMBER = {Can.SEE_AGENCY, Can.ENTER_SUB_ACCOUNTS}
_ADMIN = _MEMBER | {
    Can.SEE_CREDITS,
    Can.OPEN_SUB_ACCOUNTS,
    Can.SUSPEND_SUB_ACCOUNTS,
    Can.MOVE_CREDITS,
    Can.MANAGE_TEAM,
    Can.MANAGE_AGENCY,
    Can.MANAGE_PLAN,
    Can.SEE_AUDIT,
    Can.MANAGE_API,
}
_CLIENT_MEMBER = {Can.SEE_WORKSPACE, Can.BUY}

CAPABILITIES: dict[Role, frozenset[Can]] = {
    Role.OWNER: frozenset(_ADMIN | {Can.TRANSFER_OWNERSHIP}),
    Role.ADMIN: frozenset(_ADMIN),
    Role.MEMBER: frozenset(_MEMBER),
    Role.SUB_ACCOUNT_ADMIN: frozenset(_CLIENT_MEMBER | {Can.WORK_IN_WORKSPACE, Can.MANAGE_WORKSPACE}),
    Role.SUB_ACCOUNT_MEMBER: frozenset(_CLIENT_MEMBER),
}

# An agency user inside a client's workspace works with a Subaccount Admin's rights, but never buys on the client's card.
ASSISTING: frozenset[Can] = CAPABILITIES[Role.SUB_ACCOUNT_ADMIN] - {Can.BUY}


def may(role: Role | str, can: Can) -> bool:
    return can in CAPABILITIES[Role(role)]
