"""The ISO base media file format (ISO/IEC 14496-12), which AVIF and HEIC use. No module here imports Pillow."""
