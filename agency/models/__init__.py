from agency.models.agency import Agency, AuditRecord, Membership, OwnershipOffer
from agency.models.api_key import ApiKey, KeptAnswer
from agency.models.notice import AlertChannel, AlertRules, Category, Notice, NoticeMail, NoticeRead, ReadUpTo
from agency.models.plan import Plan
from agency.models.sign_in import SignIn
from agency.models.user import User

__all__ = [
    "Agency",
    "AlertChannel",
    "AlertRules",
    "ApiKey",
    "AuditRecord",
    "Category",
    "KeptAnswer",
    "Membership",
    "Notice",
    "NoticeMail",
    "NoticeRead",
    "OwnershipOffer",
    "Plan",
    "ReadUpTo",
    "SignIn",
    "User",
]
