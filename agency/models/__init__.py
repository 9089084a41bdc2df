from agency.models.agency import Agency, AuditRecord, Membership
from agency.models.notice import AlertChannel, AlertRules, Category, Notice, NoticeMail, NoticeRead, ReadUpTo
from agency.models.plan import Plan
from agency.models.user import User

__all__ = [
    "Agency",
    "AlertChannel",
    "AlertRules",
    "AuditRecord",
    "Category",
    "Membership",
    "Notice",
    "NoticeMail",
    "NoticeRead",
    "Plan",
    "ReadUpTo",
    "User",
]
