package android.graphics

class Bitmap(
    private val width: Int,
    private val height: Int,
    private val argb: IntArray,
    val config: Config? = Config.HARDWARE, // as Android's ImageDecoder returns it
) {
    enum class Config { ARGB_8888, RGB_565, HARDWARE }

    fun copy(config: Config, isMutable: Boolean): Bitmap? =
        if (isMutable) null else Bitmap(width, height, argb, config)

    fun getPixels(into: IntArray, offset: Int, stride: Int, x: Int, y: Int, w: Int, h: Int) {
        check(config != Config.HARDWARE) { "pixel access is not supported on HARDWARE bitmaps" }
        check(offset == 0 && stride == width && x == 0 && y == 0 && w == width && h == height)
        argb.copyInto(into)
    }

    companion object {
        @JvmStatic
        fun createScaledBitmap(source: Bitmap, width: Int, height: Int, filter: Boolean): Bitmap {
            check(filter && source.width == width && source.height == height)
            return source
        }
    }
}
