"""What Kafka calls us, as far as the settings say."""

from scorer.kafka.certificate import certificate_in
from scorer.kafka.tokens import claims_of, tokens
from scorer.runtime.secret_files import secret_in
from scorer.runtime.settings import Settings, SettingsError


def principal(settings: Settings) -> str:
    """The principal that a broker makes of our login, if it has no rules of its own for that."""
    return f"User:{user(settings)}"


def user(settings: Settings) -> str:
    """Its name. In place of one that only the broker knows stands a word that says whence it comes."""
    if settings.sasl_mechanism == "OAUTHBEARER":
        return _subject_of_token(settings)
    if settings.sasl_mechanism is not None:
        return _username(settings)
    if settings.tls_cert_file is None:
        return "ANONYMOUS"
    certificate = certificate_in(settings.tls_cert_file)
    return (None if certificate is None else certificate.subject) or "SUBJECT-OF-THE-CERTIFICATE"


def _username(settings: Settings) -> str:
    if settings.sasl_username_file is None:
        return settings.sasl_username or ""
    try:
        return secret_in("sasl_username_file", settings.sasl_username_file)
    except SettingsError:
        return "SCORER_SASL_USERNAME_FILE"


def _subject_of_token(settings: Settings) -> str:
    latest = tokens(settings).latest
    subject = None if latest is None else claims_of(latest).get("sub")
    return subject if isinstance(subject, str) and subject else "SUBJECT-OF-THE-TOKEN"
