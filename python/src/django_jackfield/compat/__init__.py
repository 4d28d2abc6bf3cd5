"""The way from Channels: a channel layer, and its `group_send` without async."""

from django_jackfield.compat.groups import agroup_send, group_send
from django_jackfield.compat.layer import JackfieldChannelLayer, connection_name

__all__ = ["JackfieldChannelLayer", "agroup_send", "connection_name", "group_send"]
