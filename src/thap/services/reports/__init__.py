"""Citizens' reports: taken in, moderated, handled as incidents, answered; their senders kept apart and erased."""

from thap.services.reports.catalogue import Attribute, Catalogue, Service
from thap.services.reports.desk import ReportDesk
from thap.services.reports.life import Act, State
from thap.services.reports.model import Draft, Near, Opened, Received, Report, ReportEvent, ReportFilter, ReportPage
from thap.services.reports.privacy import Sender, masked, redact

__all__ = [
    "Act",
    "Attribute",
    "Catalogue",
    "Draft",
    "Near",
    "Opened",
    "Received",
    "Report",
    "ReportDesk",
    "ReportEvent",
    "ReportFilter",
    "ReportPage",
    "Sender",
    "Service",
    "State",
    "masked",
    "redact",
]
