// Being written by another helper right now (lead reassigned it at 05:52): leave this file to them.
