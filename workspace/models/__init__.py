from workspace.models.chatbot import Chatbot, Faq, FaqImport
from workspace.models.conversation import Contact, Conversation, Lead, Message

__all__ = ["Chatbot", "Contact", "Conversation", "Faq", "FaqImport", "Lead", "Message"]
