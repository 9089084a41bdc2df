from subaccounts.models.sub_account import (
    Access,
    Assist,
    DailyFigures,
    Domain,
    Hop,
    MonthlyFigures,
    SpareWorkspace,
    SubAccount,
    SubAccountQuerySet,
    Suspension,
    WorkspaceTemplate,
)

__all__ = [
    "Access",
    "Assist",
    "DailyFigures",
    "Domain",
    "Hop",
    "MonthlyFigures",
    "SpareWorkspace",
    "SubAccount",
    "SubAccountQuerySet",
    "Suspension",
    "WorkspaceTemplate",
]
